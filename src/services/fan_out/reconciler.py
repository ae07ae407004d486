"""The reconciler: compares the users that the instances hold with the table, and repairs what lost hints left behind.

Hints of presence changes may be lost. So each instance publishes a digest of its presence set, the users that it
holds. A worker whose table differs from it asks for the whole presence set and brings the table to it. It evicts
instances that are dead.
"""

import asyncio
import itertools
from collections.abc import Callable

import msgspec
import structlog

from fanout import Engine, Unavailable, machine
from fanout.ports.bus import Bus
from fanout.ports.presence import Leases
from fanout.subjects import PRESENCE_DIGESTS, PRESENCE_HINTS, instance_control, worker_inbox
from fanout.workers import (
    PresenceDigest,
    PresenceSetRequest,
    decode_digest,
    decode_presence_change,
    decode_presence_set_page,
)
from services.fan_out.known_instance import KnownInstance
from services.fan_out.liveness import Liveness, note_leases
from services.fan_out.metrics import INSTANCES_EVICTED, PRESENCE_SETS_REPAIRED
from services.fan_out.presence_applier import PresenceApplier
from services.fan_out.presence_set import PresenceSetTransfer
from services.fan_out.repair import Repair
from services.fan_out.suspensions import Suspensions
from services.runtime.health import Degraded
from services.runtime.skipping import skip
from services.runtime.tasks import Tasks, retry_forever

log = structlog.get_logger(__name__)


class Reconciler:
    """Follows the leases and the digests, and keeps the table true for each instance.

    Args:
        worker_id: this worker, to which the instances send their presence sets.
        engine: has the table.
        presence_applier: makes the changes.
        suspensions: of the instances that the table may lack users of.
        leases: of the notification instances.
        bus: carries hints, digests and presence sets.
        tasks: runs what takes long.
        clock: seconds, from any fixed point; it must not step back.
    """

    def __init__(
        self,
        worker_id: str,
        engine: Engine,
        presence_applier: PresenceApplier,
        suspensions: Suspensions,
        leases: Leases,
        bus: Bus,
        tasks: Tasks,
        *,
        clock: Callable[[], float] = machine.monotonic_s,
    ) -> None:
        self._worker_id = worker_id
        self._engine = engine
        self._presence_applier = presence_applier
        self._bus = bus
        self._tasks = tasks
        self._clock = clock
        self._liveness = Liveness(leases, bus, clock)
        self._repair = Repair(engine, presence_applier)
        self._suspensions = suspensions
        self._instances: dict[str, KnownInstance] = {}
        self._evicting: set[str] = set()
        """Instances whose users are being taken out of the table. No user is added there before that is done."""
        self._request_ids = itertools.count(1)
        self._leases_read = False
        self.complete = asyncio.Event()
        """Set when the presence set of each instance that has a lease, or gave a digest, was loaded once. A silent
        instance is not waited for."""
        suspensions.contact.on_begin(self._ask_for_due)

    async def listen(self) -> None:
        """Subscribe to presence sets, hints and digests."""
        await retry_forever(
            lambda: self._bus.subscribe(worker_inbox(self._worker_id), self._hear_page), "listening to presence sets"
        )
        await retry_forever(lambda: self._bus.subscribe(PRESENCE_HINTS, self._hear_change), "listening to hints")
        await retry_forever(lambda: self._bus.subscribe(PRESENCE_DIGESTS, self._hear_digest), "listening to digests")

    def adopt(self) -> None:
        """Note the instances that the table has users of, so that those that are gone are evicted."""
        for instance_id in sorted(self._engine.occupied_instances()):
            self._know(instance_id, "")

    async def follow_leases(self) -> None:
        """Read the leases once: evict the instances that are dead, and ask for the presence sets that are due.

        Call it every half second, one call after the other.

        Raises:
            Unavailable: the leases cannot be read, or the bus does not answer.
        """
        try:
            await self._follow_liveness()
        except Unavailable:
            self._ask_for_due()  # digests come by the bus: they repair the table also while the leases cannot be read
            raise
        self._ask_for_due()
        self._leases_read = True
        self._check_complete()

    def is_suspended(self, instance_id: str) -> bool:
        """Whether the instance gets no stored event, because the table may lack some of its users."""
        return instance_id in self._suspensions

    async def check_contact(self) -> None:
        """Return if every instance gets the events as they are routed.

        Raises:
            Degraded: some read the log instead.
        """
        if count := self._suspensions.count():
            raise Degraded(f"instances that read the log until their presence sets are compared: {count}")

    async def _follow_liveness(self) -> None:
        leases = await self._liveness.leases()
        for instance_id, lease in leases.items():
            await self._see_lease(instance_id, lease.incarnation)
        note_leases(leases, self._instances)
        for instance_id, instance in await self._liveness.dead(self._instances):
            await self._evict(instance_id, instance)

    def _ask_for_due(self) -> None:
        for instance_id, instance in list(self._instances.items()):
            if instance.is_due(self._clock()) or self._is_to_agree(instance):
                self._ask(instance_id, instance)

    def _is_to_agree(self, instance: KnownInstance) -> bool:
        """Whether the instance is to be asked because it has not agreed in the contact that lasts.

        A presence set that is on its way is waited for: where contacts are short, none would come else.
        """
        contact = self._suspensions.contact.current()
        return instance.transfer is None and contact is not None and contact != instance.agreeing_in

    async def _see_lease(self, instance_id: str, incarnation: str) -> None:
        known = self._instances.get(instance_id)
        if known is not None and known.is_replaced_by(incarnation):
            await self._replace(instance_id, incarnation, known)
        elif known is None and self._may_meet(instance_id, incarnation):
            self._meet(instance_id, incarnation)
        elif known is not None:
            known.hear_incarnation(incarnation)

    def _check_complete(self) -> None:
        expected = [instance for instance in self._instances.values() if self._liveness.is_expected(instance)]
        if self.complete.is_set() or not self._leases_read or not all(instance.loaded for instance in expected):
            return
        self.complete.set()

    def _may_meet(self, instance_id: str, incarnation: str) -> bool:
        return instance_id not in self._evicting and not self._suspensions.has_stopped(instance_id, incarnation)

    def _meet(self, instance_id: str, incarnation: str = "") -> KnownInstance:
        instance = self._know(instance_id, incarnation)
        self._ask(instance_id, instance)
        return instance

    def _know(self, instance_id: str, incarnation: str) -> KnownInstance:
        instance = self._instances[instance_id] = KnownInstance(incarnation, self._clock())
        self._suspensions.know(instance_id)
        return instance

    def _ask(self, instance_id: str, instance: KnownInstance, *, whole: bool = False) -> None:
        if self._presence_applier.is_changing(instance_id):
            whole = True  # the table is about to differ from what is compared
        known = None if whole else self._engine.digest(instance_id)
        request = PresenceSetRequest(self._worker_id, str(next(self._request_ids)), known)
        instance.ask(request.request, self._clock(), self._suspensions.contact.current())
        self._tasks.start(self._send(instance_id, request), "asking for a presence set")

    async def _send(self, instance_id: str, request: PresenceSetRequest) -> None:
        try:
            await self._bus.publish(instance_control(instance_id), msgspec.json.encode(request))
        except Unavailable as error:
            reason = str(error)
            log.info("presence set cannot be asked for now; the worker asks again", instance=instance_id, reason=reason)

    async def _evict(self, instance_id: str, instance: KnownInstance, *, stopped: str = "") -> None:
        if self._instances.get(instance_id) is not instance:
            return  # a lease and a digest may both have led to this
        del self._instances[instance_id]
        instance.await_agreement(None)
        self._evicting.add(instance_id)
        self._suspensions.forget(instance_id, stopped=stopped)
        try:
            users = await self._presence_applier.drop_instance(instance_id)
        finally:
            self._evicting.discard(instance_id)
        INSTANCES_EVICTED.inc()
        gone = log.info if stopped else log.warning  # an instance that was stopped has said so
        gone("instance is gone", instance=instance_id, users=users, stopped=bool(stopped))

    def _hear_change(self, _subject: str, payload: bytes) -> None:
        try:
            change = decode_presence_change(payload)
        except msgspec.DecodeError as error:
            skip("presence_change", error)
            return
        instance = self._instances.get(change.instance_id)
        if instance is not None and instance.is_replaced_by(change.incarnation):
            # The presence set that is asked for then has the user.
            replacement = self._replace(change.instance_id, change.incarnation, instance)
            self._tasks.start(replacement, "replacing an instance")
        if instance is None and self._may_meet(change.instance_id, change.incarnation):
            instance = self._meet(change.instance_id, change.incarnation)
        if instance is not None and instance.hear_incarnation(change.incarnation) and instance.take(change):
            self._presence_applier.change(change)

    def _hear_digest(self, _subject: str, payload: bytes) -> None:
        try:
            digest = decode_digest(payload)
        except msgspec.DecodeError as error:
            skip("digest", error)
            return
        instance = self._instances.get(digest.instance)
        if digest.stopped:
            self._hear_stopped(digest, instance)
        elif instance is None:
            if self._may_meet(digest.instance, digest.incarnation):
                self._compare(digest, self._meet(digest.instance, digest.incarnation))
        elif instance.is_replaced_by(digest.incarnation):
            self._tasks.start(self._compare_replaced(digest, instance), "replacing an instance")
        elif instance.hear_incarnation(digest.incarnation):
            self._compare(digest, instance)

    def _hear_stopped(self, digest: PresenceDigest, instance: KnownInstance | None) -> None:
        if instance is not None and instance.hear_incarnation(digest.incarnation):
            eviction = self._evict(digest.instance, instance, stopped=digest.incarnation)
            self._tasks.start(eviction, "evicting an instance that stopped")

    async def _compare_replaced(self, digest: PresenceDigest, instance: KnownInstance) -> None:
        await self._replace(digest.instance, digest.incarnation, instance)
        newer = self._instances.get(digest.instance)
        if newer is not None and newer.incarnation == digest.incarnation:
            self._compare(digest, newer)

    async def _replace(self, instance_id: str, incarnation: str, instance: KnownInstance) -> None:
        """Evict an instance, and meet the one that runs under its id now."""
        await self._evict(instance_id, instance)
        if instance_id not in self._instances and self._may_meet(instance_id, incarnation):
            self._meet(instance_id, incarnation)

    def _compare(self, digest: PresenceDigest, instance: KnownInstance) -> None:
        agrees = self._engine.digest(digest.instance) == (digest.users, digest.digest)
        instance.hear(digest, self._clock(), agrees=agrees)

    def _hear_page(self, _subject: str, payload: bytes) -> None:
        try:
            page = decode_presence_set_page(payload)
        except msgspec.DecodeError as error:
            skip("presence_set_page", error)
            return
        instance = self._instances.get(page.instance)
        transfer = instance.transfer if instance is not None else None
        if instance is None or transfer is None or not instance.hear_incarnation(page.incarnation):
            return
        if not transfer.add(page, self._clock()):
            return
        if transfer.unchanged and transfer.hinted:
            # The table has changed since the request. What the hints said may be less than what the instance compared.
            self._ask(page.instance, instance, whole=True)
        else:
            self._tasks.start(self._reconcile(page.instance, instance, transfer), "reconciling a presence set")

    async def _reconcile(self, instance_id: str, instance: KnownInstance, transfer: PresenceSetTransfer) -> None:
        """Bring the table to a presence set that came completely."""
        repaired = 0
        if not transfer.unchanged:
            repaired = await self._repair.run(
                instance_id, transfer, is_current=lambda: self._instances.get(instance_id) is instance
            )
        if self._instances.get(instance_id) is not instance or instance.transfer is not transfer:
            return  # it was evicted, or asked again, meanwhile
        if instance.loaded and repaired:
            PRESENCE_SETS_REPAIRED.inc()
            log.info("presence set repaired", instance=instance_id, users=repaired)
        instance.end_transfer()
        agreement = self._agree_when_applied(instance_id, instance, transfer.contact)
        instance.await_agreement(self._tasks.start(agreement, "agreeing with an instance"))
        self._check_complete()

    async def _agree_when_applied(self, instance_id: str, instance: KnownInstance, contact: int | None) -> None:
        await self._presence_applier.settled()
        if self._instances.get(instance_id) is instance:
            self._suspensions.agree(instance_id, contact)
