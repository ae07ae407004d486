"""Rosters: what the instances say they hold, against what the table holds. Repairs what lost hints left behind."""

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import structlog

from fanout import Engine, Unavailable
from fanout.keys import LEASE_TTL_S, PresenceChange
from fanout.ports.bus import Bus
from fanout.ports.presence import Presence
from fanout.subjects import ROSTERS, instance_control, worker_inbox
from fanout.workers import Roster, RosterDigest, RosterRequest, decode_digest, decode_roster
from services.fan_out.metrics import INSTANCES_EVICTED, ROSTERS_REPAIRED
from services.fan_out.placements import Placements
from services.runtime.skipping import skip
from services.runtime.tasks import Tasks, insist

log = structlog.get_logger(__name__)

ASK_AGAIN_AFTER_S = 1.0
MISMATCHES_BEFORE_REPAIR = 2
"""A digest and a hint may cross on the way; the same difference twice is a hint that was lost."""

REMEMBERED_EVICTIONS = 1_000
"""Instances that are gone for good never come back under their name, so the oldest are forgotten."""


@dataclass
class _Instance:
    incarnation: str = ""
    """Empty until its lease was seen: a hint may come before the first look at it."""
    request: str = ""
    """Of the roster that is on its way; empty when none is."""
    asked_at: float = 0.0
    """Or when its last page came."""
    next_page: int = 0
    users: list[str] = field(default_factory=list)
    """Of the pages that have come."""
    hinted: set[str] = field(default_factory=set)
    """Users of whom a hint came since the roster was asked for: it is newer than the roster."""
    mismatches: int = 0
    loaded: bool = False

    def begin_roster(self) -> None:
        """Forget what came of an earlier one."""
        self.next_page = 0
        self.users.clear()
        self.hinted.clear()


class Rosters:
    """Follows leases and digests; asks an instance for its whole roster at start, and when it differs."""

    def __init__(
        self,
        worker_id: str,
        engine: Engine,
        placements: Placements,
        presence: Presence,
        bus: Bus,
        tasks: Tasks,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._worker_id = worker_id
        self._engine = engine
        self._placements = placements
        self._presence = presence
        self._bus = bus
        self._tasks = tasks
        self._clock = clock
        self._instances: dict[str, _Instance] = {}
        self._held: dict[str, None] = {}
        """Evicted, oldest first: one that comes back gets no event before all its users are placed again."""
        self._requests = itertools.count(1)
        self._evict_from = 0.0
        self.whole = asyncio.Event()
        """Set when the roster of every instance that has a lease was loaded once."""

    async def listen(self) -> None:
        """Begin to hear hints, digests and rosters."""
        await insist(lambda: self._bus.subscribe(ROSTERS, self._hear_digest), "listening to digests")
        await insist(
            lambda: self._bus.subscribe(worker_inbox(self._worker_id), self._hear_roster),
            "listening to rosters",
        )
        await insist(lambda: self._presence.watch(self._hear_hint), "listening to presence changes")

    def adopt(self) -> None:
        """Take over what the table has on instances, until their rosters say more; or none, if they are gone."""
        for instance_id in self._engine.occupied_instances():
            self._instances.setdefault(instance_id, _Instance())

    async def follow_leases(self) -> None:
        """One look at the leases: evict the instances whose lease ended, ask new ones for their roster."""
        known_before = set(self._instances)
        try:
            leases = await self._presence.leases()
        except Unavailable:
            # Nobody could renew either: instances get a whole lease to come back before any is given up.
            self._evict_from = self._clock() + LEASE_TTL_S
            raise
        for instance_id, lease in leases.items():
            await self._know(instance_id, lease.incarnation)
        if self._clock() >= self._evict_from:
            for instance_id in known_before - set(leases):
                await self._evict(instance_id)
        self._look_whether_whole()

    def _look_whether_whole(self) -> None:
        if all(instance.loaded for instance in self._instances.values()):
            self.whole.set()

    async def _know(self, instance_id: str, incarnation: str) -> None:
        known = self._instances.setdefault(instance_id, _Instance())
        if known.incarnation not in {"", incarnation}:
            await self._evict(instance_id)
            known = self._instances.setdefault(instance_id, _Instance())
        known.incarnation = incarnation
        overdue = bool(known.request) and self._clock() - known.asked_at > ASK_AGAIN_AFTER_S
        if overdue or (not known.loaded and not known.request) or known.mismatches >= MISMATCHES_BEFORE_REPAIR:
            await self._ask(instance_id, known)

    async def _ask(self, instance_id: str, instance: _Instance) -> None:
        instance.request = str(next(self._requests))
        instance.asked_at = self._clock()
        instance.mismatches = 0
        instance.begin_roster()
        request = RosterRequest(self._worker_id, instance.request)
        await self._bus.publish(instance_control(instance_id), msgspec.json.encode(request))

    async def _evict(self, instance_id: str) -> None:
        if self._instances.pop(instance_id, None) is None:
            return  # two looks at the leases overlap while the table loads, and the other one evicts it
        self._hold(instance_id)
        users = await self._placements.drop_instance(instance_id)
        INSTANCES_EVICTED.inc()
        log.warning("instance is gone", instance=instance_id, users=users)

    def _hold(self, instance_id: str) -> None:
        # Its users would come back one by one, and the first of them would make it miss what the others were to get.
        self._engine.hold(instance_id)
        self._held.pop(instance_id, None)
        self._held[instance_id] = None
        if len(self._held) > REMEMBERED_EVICTIONS:
            self._release(next(iter(self._held)))

    def _release(self, instance_id: str) -> None:
        del self._held[instance_id]
        self._engine.release(instance_id)

    async def _release_when_placed(self, instance_id: str, instance: _Instance) -> None:
        await self._placements.settled()
        if self._instances.get(instance_id) is instance and instance_id in self._held:
            self._release(instance_id)

    def _hear_hint(self, change: PresenceChange) -> None:
        instance = self._instances.get(change.instance_id)
        if instance is None and change.online:
            instance = self._instances[change.instance_id] = _Instance()
        if instance is not None and instance.request:
            instance.hinted.add(change.user_id)
        self._placements.change(change)

    def _hear_digest(self, _subject: str, payload: bytes) -> None:
        try:
            digest = decode_digest(payload)
        except msgspec.DecodeError as error:
            skip("digest", error)
            return
        instance = self._instances.get(digest.instance)
        if instance is None or instance.incarnation != digest.incarnation or instance.request:
            return
        instance.mismatches = 0 if self._agrees(digest) else instance.mismatches + 1

    def _agrees(self, digest: RosterDigest) -> bool:
        return self._engine.digest(digest.instance) == (digest.users, digest.digest)

    def _hear_roster(self, _subject: str, payload: bytes) -> None:
        try:
            page = decode_roster(payload)
        except msgspec.DecodeError as error:
            skip("roster", error)
            return
        instance = self._instances.get(page.instance)
        if instance is None or (page.request, page.page) != (instance.request, instance.next_page):
            return  # of an earlier request, or a page before it was lost: it will be asked for again
        instance.next_page += 1
        instance.asked_at = self._clock()
        instance.users.extend(page.users)
        if page.last:
            self._reconcile(page, instance)

    def _reconcile(self, page: Roster, instance: _Instance) -> None:
        there, here = set(instance.users), set(self._engine.users(page.instance))
        for user_id in (there ^ here) - instance.hinted:
            self._placements.change(PresenceChange(user_id, user_id in there, page.instance))
        if instance.loaded and there != here:
            ROSTERS_REPAIRED.inc()
            log.info("roster repaired", instance=page.instance, users=len(there), differences=len(there ^ here))
        instance.loaded, instance.request = True, ""
        instance.begin_roster()
        if page.instance in self._held:
            self._tasks.start(self._release_when_placed(page.instance, instance), "releasing an instance")
        self._look_whether_whole()
