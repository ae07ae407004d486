"""Reconciler: what the instances say they hold, against what the table holds. Repairs what lost hints left behind.

An instance lives while its lease or its digests say so. Redis carries the lease and the bus the digests, so neither of
them alone can make an instance look dead: one whose lease Redis refuses to renew is kept by its digests.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec
import structlog

from fanout import Engine, Unavailable
from fanout.keys import LEASE_TTL_S, PresenceChange
from fanout.ports.bus import Bus
from fanout.ports.presence import Lease, Presence
from fanout.subjects import PRESENCE_DIGESTS, instance_control, worker_inbox
from fanout.workers import PresenceDigest, PresenceSetRequest, decode_digest, decode_presence_set_page
from services.fan_out.metrics import INSTANCES_EVICTED, INSTANCES_WITHOUT_LEASE, PRESENCE_SETS_REPAIRED
from services.fan_out.presence_applier import PresenceApplier
from services.runtime.skipping import skip
from services.runtime.tasks import Tasks, retry_forever
from services.runtime.time_slice import TimeSlice

log = structlog.get_logger(__name__)

ASK_AGAIN_AFTER_S = 1.0
SILENT_AFTER_S = float(LEASE_TTL_S)
"""Without a digest for so long, an instance that has no lease is dead."""
STOOD_STILL_S = 4.0
"""After so long without a look at the leases, which are looked at each half second, this process itself was away."""
MISMATCHES_BEFORE_REPAIR = 2
"""A digest and a hint may cross on the way; the same difference twice is a hint that was lost."""

REMEMBERED_EVICTIONS = 1_000
"""Instances that are gone for good never come back under their name, so the oldest are forgotten."""


@dataclass
class _Instance:
    incarnation: str
    """Empty until its lease or a digest was seen: a hint may come before."""
    heard_at: float
    """When its last digest came; before the first, when it became known."""
    heard: bool = False
    """A digest has come."""
    leased: bool = False
    """At the last look at the leases."""
    request: str = ""
    """Of the roster that is on its way; empty when none is."""
    asked_at: float = 0.0
    """Or when its last page came."""
    next_page: int = 0
    users: set[str] = field(default_factory=set)
    """Of the pages that have come."""
    hinted: set[str] = field(default_factory=set)
    """Users of whom a hint came since the roster was asked for: it is newer than the roster."""
    reconciling: bool = False
    """The roster has come whole."""
    mismatches: int = 0
    loaded: bool = False

    def begin_roster(self) -> None:
        """Forget what came of an earlier one."""
        self.next_page = 0
        self.users.clear()
        self.hinted.clear()


class Reconciler:
    """Follows leases and digests; asks an instance for its whole roster at start, and when it differs."""

    def __init__(
        self,
        worker_id: str,
        engine: Engine,
        placements: PresenceApplier,
        presence: Presence,
        bus: Bus,
        tasks: Tasks,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._worker_id = worker_id
        self._engine = engine
        self._presence_applier = placements
        self._presence = presence
        self._bus = bus
        self._tasks = tasks
        self._clock = clock
        self._instances: dict[str, _Instance] = {}
        self._evicting: set[str] = set()
        """Whose users are being taken off the table: until that is done, nothing is placed there."""
        self._held: dict[str, str] = {}
        """Instances that get no stored event before all their users are placed, oldest first; with the incarnation
        that said it has stopped, if one did."""
        self._requests = itertools.count(1)
        self._evict_from = 0.0
        self._looked_at = clock()
        self._looked = False
        self._turn = asyncio.Lock()
        self._slice = TimeSlice()
        self.whole = asyncio.Event()
        """Set when the roster of every instance that has a lease, or gave a digest, was loaded once. One that has been
        silent for as long as a lease is not waited for; it gets no stored event before its roster was loaded."""

    async def listen(self) -> None:
        """Begin to hear rosters, digests and hints."""
        await retry_forever(
            lambda: self._bus.subscribe(worker_inbox(self._worker_id), self._hear_roster),
            "listening to rosters",
        )
        await retry_forever(lambda: self._bus.subscribe(PRESENCE_DIGESTS, self._hear_digest), "listening to digests")
        await retry_forever(lambda: self._presence.watch(self._hear_hint), "listening to presence changes")

    def adopt(self) -> None:
        """Take over what the table has on instances, until their rosters say more; or none, if they are gone."""
        for instance_id in self._engine.occupied_instances():
            self._instances.setdefault(instance_id, _Instance("", self._clock()))

    async def follow_leases(self) -> None:
        """One look at the leases: evict the instances that are dead, ask the others for rosters that are due.

        To be called again and again, one call after the other.
        """
        leases = await self._look()
        for instance_id, lease in leases.items():
            await self._see_lease(instance_id, lease.incarnation)
        self._note_the_unleased(leases)
        await self._evict_the_dead()
        for instance_id, instance in list(self._instances.items()):
            if self._is_due(instance):
                self._ask(instance_id, instance)
        self._looked = True
        self._look_whether_whole()

    async def _look(self) -> Mapping[str, Lease]:
        now = self._clock()
        if now - self._looked_at > STOOD_STILL_S:
            self._spare_all()  # what came for this process meanwhile may still be waiting
        self._looked_at = now
        try:
            return await self._presence.leases()
        except Unavailable:
            self._spare_all()  # nobody could renew either
            raise

    def _spare_all(self) -> None:
        """Give every instance a whole lease to show that it lives."""
        self._evict_from = self._clock() + SILENT_AFTER_S

    async def _see_lease(self, instance_id: str, incarnation: str) -> None:
        known = self._instances.get(instance_id)
        if known is not None and known.incarnation and known.incarnation < incarnation:
            await self._evict(instance_id, known)
            known = self._instances.get(instance_id)
        if known is None and self._may_meet(instance_id, incarnation):
            self._meet(instance_id, incarnation)
        elif known is not None and not known.incarnation:
            known.incarnation = incarnation

    def _note_the_unleased(self, leases: Mapping[str, Lease]) -> None:
        for instance_id, instance in self._instances.items():
            lease = leases.get(instance_id)
            leased = lease is not None and lease.incarnation == instance.incarnation
            if instance.leased and not leased:
                log.info("instance has no lease; it is kept while its digests come", instance=instance_id)
            instance.leased = leased
        INSTANCES_WITHOUT_LEASE.set(sum(not instance.leased for instance in self._instances.values()))

    async def _evict_the_dead(self) -> None:
        dead = self._dead()
        if not dead or self._clock() < self._evict_from:
            return
        try:
            await self._bus.ping()
        except Unavailable:
            self._spare_all()  # no digest could come either
            raise
        for instance_id, instance in dead:
            await self._evict(instance_id, instance)

    def _dead(self) -> list[tuple[str, _Instance]]:
        """Those without a lease and without a digest for as long as a lease is."""
        silent_since = self._clock() - SILENT_AFTER_S
        return [
            (instance_id, instance)
            for instance_id, instance in self._instances.items()
            if not instance.leased and instance.heard_at < silent_since
        ]

    def _look_whether_whole(self) -> None:
        expected = [instance for instance in self._instances.values() if self._is_waited_for(instance)]
        if self.whole.is_set() or not self._looked or not all(instance.loaded for instance in expected):
            return
        for instance_id, instance in self._instances.items():
            if not instance.loaded:
                self._hold(instance_id)
        self.whole.set()

    def _is_waited_for(self, instance: _Instance) -> bool:
        """Whether a roster of it is to be expected: with its lease alone it may be cut off from the bus."""
        now = self._clock()
        is_silent = now >= self._evict_from and instance.heard_at < now - SILENT_AFTER_S
        return (instance.leased or instance.heard) and not is_silent

    def _may_meet(self, instance_id: str, incarnation: str) -> bool:
        has_stopped = bool(incarnation) and self._held.get(instance_id) == incarnation
        return instance_id not in self._evicting and not has_stopped

    def _meet(self, instance_id: str, incarnation: str = "") -> _Instance:
        instance = self._instances[instance_id] = _Instance(incarnation, self._clock())
        if self.whole.is_set():
            # It may have users whom the table lacks: what one of them gets must not hide what the others miss.
            self._hold(instance_id)
        self._ask(instance_id, instance)
        return instance

    def _is_due(self, instance: _Instance) -> bool:
        if instance.reconciling:
            return False
        if instance.request:
            return self._clock() - instance.asked_at > ASK_AGAIN_AFTER_S
        return not instance.loaded or instance.mismatches >= MISMATCHES_BEFORE_REPAIR

    def _ask(self, instance_id: str, instance: _Instance) -> None:
        instance.request = str(next(self._requests))
        instance.asked_at = self._clock()
        instance.mismatches = 0
        instance.begin_roster()
        request = PresenceSetRequest(self._worker_id, instance.request)
        self._tasks.start(self._send(instance_id, request), "asking for a roster")

    async def _send(self, instance_id: str, request: PresenceSetRequest) -> None:
        try:
            await self._bus.publish(instance_control(instance_id), msgspec.json.encode(request))
        except Unavailable as error:
            log.info("roster cannot be asked for now, will ask again", instance=instance_id, reason=str(error))

    async def _evict(self, instance_id: str, instance: _Instance, *, stopped: str = "") -> None:
        if self._instances.get(instance_id) is not instance:
            return  # a lease and a digest may say so at the same time
        del self._instances[instance_id]
        self._evicting.add(instance_id)
        self._hold(instance_id, stopped=stopped)
        try:
            users = await self._presence_applier.drop_instance(instance_id)
        finally:
            self._evicting.discard(instance_id)
        INSTANCES_EVICTED.inc()
        log.warning("instance is gone", instance=instance_id, users=users, stopped=bool(stopped))

    def _hold(self, instance_id: str, *, stopped: str = "") -> None:
        # Its users would come back one by one, and the first of them would make it miss what the others were to get.
        self._engine.hold(instance_id)
        self._held.pop(instance_id, None)
        self._held[instance_id] = stopped
        if len(self._held) > REMEMBERED_EVICTIONS:
            self._release(next(iter(self._held)))

    def _release(self, instance_id: str) -> None:
        del self._held[instance_id]
        self._engine.release(instance_id)

    async def _release_when_placed(self, instance_id: str, instance: _Instance) -> None:
        await self._presence_applier.settled()
        if self._instances.get(instance_id) is instance and instance_id in self._held:
            self._release(instance_id)

    def _hear_hint(self, change: PresenceChange) -> None:
        if change.instance_id in self._evicting:
            return  # of an arrival there will be another one, and who is gone is taken off
        instance = self._instances.get(change.instance_id)
        if instance is None and change.online:
            instance = self._meet(change.instance_id)
        if instance is not None and instance.request:
            instance.hinted.add(change.user_id)
        self._presence_applier.change(change)

    def _hear_digest(self, _subject: str, payload: bytes) -> None:
        try:
            digest = decode_digest(payload)
        except msgspec.DecodeError as error:
            skip("digest", error)
            return
        instance = self._instances.get(digest.instance)
        if digest.stopped:
            self._hear_farewell(digest, instance)
        elif instance is None:
            if self._may_meet(digest.instance, digest.incarnation):
                self._compare(digest, self._meet(digest.instance, digest.incarnation))
        elif instance.incarnation and instance.incarnation < digest.incarnation:
            self._tasks.start(self._replace(digest, instance), "replacing an instance")
        elif instance.incarnation in {"", digest.incarnation}:
            self._compare(digest, instance)

    def _hear_farewell(self, digest: PresenceDigest, instance: _Instance | None) -> None:
        if instance is not None and instance.incarnation in {"", digest.incarnation}:
            farewell = self._evict(digest.instance, instance, stopped=digest.incarnation)
            self._tasks.start(farewell, "evicting an instance that stopped")

    async def _replace(self, digest: PresenceDigest, instance: _Instance) -> None:
        await self._evict(digest.instance, instance)
        if digest.instance not in self._instances and self._may_meet(digest.instance, digest.incarnation):
            self._compare(digest, self._meet(digest.instance, digest.incarnation))

    def _compare(self, digest: PresenceDigest, instance: _Instance) -> None:
        instance.incarnation = digest.incarnation
        instance.heard, instance.heard_at = True, self._clock()
        if not instance.request:
            instance.mismatches = 0 if self._agrees(digest) else instance.mismatches + 1

    def _agrees(self, digest: PresenceDigest) -> bool:
        return self._engine.digest(digest.instance) == (digest.users, digest.digest)

    def _hear_roster(self, _subject: str, payload: bytes) -> None:
        try:
            page = decode_presence_set_page(payload)
        except msgspec.DecodeError as error:
            skip("presence_set_page", error)
            return
        instance = self._instances.get(page.instance)
        if instance is None or (page.request, page.page) != (instance.request, instance.next_page):
            return  # of an earlier request, or a page before it was lost: it will be asked for again
        instance.next_page += 1
        instance.asked_at = self._clock()
        instance.users.update(page.users)
        if page.last and not instance.reconciling:
            instance.reconciling = True
            self._tasks.start(self._reconcile(page.instance, instance), "reconciling a roster")

    async def _reconcile(self, instance_id: str, instance: _Instance) -> None:
        """Bring the table to a roster, in slices: instances have as many users as they like."""
        async with self._turn:
            differences = await self._correct(instance_id, instance)
        if self._instances.get(instance_id) is not instance:
            return  # it was evicted meanwhile
        if instance.loaded and differences:
            PRESENCE_SETS_REPAIRED.inc()
            log.info("roster repaired", instance=instance_id, differences=differences)
        instance.loaded, instance.request, instance.reconciling = True, "", False
        instance.begin_roster()
        if instance_id in self._held:
            self._tasks.start(self._release_when_placed(instance_id, instance), "releasing an instance")
        self._look_whether_whole()

    async def _correct(self, instance_id: str, instance: _Instance) -> int:
        """Wish for what the roster says where the table differs; in how many users it did."""
        left = await self._not_in_the_roster(instance_id, instance.users)
        differences = len(left) + len(instance.users)
        while left or instance.users:
            online = not left
            user_id = instance.users.pop() if online else left.pop()
            if self._instances.get(instance_id) is not instance:
                break
            if user_id not in instance.hinted:
                self._presence_applier.change(PresenceChange(user_id, online, instance_id))
            await self._slice.breathe()
        return differences

    async def _not_in_the_roster(self, instance_id: str, roster: set[str]) -> list[str]:
        """Who is on the instance by the table alone. Who is there by both is taken out of the roster."""
        left: list[str] = []
        after: int | None = None
        while True:
            users, after = self._engine.users_page(instance_id, after)
            for user_id in users:
                if user_id in roster:
                    roster.remove(user_id)
                else:
                    left.append(user_id)
            if after is None:
                return left
            await self._slice.breathe()
