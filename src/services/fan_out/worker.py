"""A fan-out worker: the routing table, and a share of the log's partitions."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from fanout import Engine, Unavailable, machine
from fanout.ports.bus import Bus
from fanout.ports.log import Log
from fanout.ports.memberships import Memberships
from fanout.ports.presence import Leases
from fanout.streams import META
from services.fan_out.channel_list_answers import ChannelListAnswers
from services.fan_out.contact import Contact
from services.fan_out.log_resets import LogResets
from services.fan_out.members import Members
from services.fan_out.partitions import Partitions
from services.fan_out.presence_applier import PresenceApplier
from services.fan_out.publisher import Publisher
from services.fan_out.reconciler import Reconciler
from services.fan_out.routing_confirmations import RoutingConfirmations
from services.fan_out.snapshots import Snapshots, Start
from services.fan_out.suspensions import Suspensions
from services.fan_out.typing_router import TypingRouter
from services.fan_out.user_sync_router import UserSyncRouter
from services.fan_out.worker_group import WorkerGroup
from services.runtime.membership_order import MembershipOrder
from services.runtime.tasks import Tasks, periodic, retry_forever

log = structlog.get_logger(__name__)

LOOK_AT_LEASES_EVERY_S = 0.5
MARK_EVERY_S = 1.0


@dataclass(frozen=True)
class FanOutPorts:
    """The ports that a worker uses."""

    log: Log
    bus: Bus
    leases: Leases
    memberships: Memberships


class FanOutWorker:
    """One worker: presence and memberships keep its table true, and the events of its partitions are routed by it.

    Args:
        worker_id: this worker; no other worker has the same id.
        ports: the adapters.
        tasks: runs the worker's parts.
        start: a restored snapshot; None to load the table from the stores.
        snapshots: where the worker writes its table; None for nowhere.
    """

    def __init__(
        self,
        worker_id: str,
        ports: FanOutPorts,
        tasks: Tasks,
        *,
        start: Start | None = None,
        snapshots: Snapshots | None = None,
    ) -> None:
        engine = start.engine if start else Engine(**machine.engine_options())
        self._ports = ports
        self._engine = engine
        self._start = start
        self._snapshots = snapshots
        self.publisher = Publisher(engine, ports.bus)
        contact = Contact()
        self._suspensions = Suspensions(engine, contact)
        self.partitions = Partitions(worker_id, engine, ports.log, self.publisher, tasks, self._suspensions)
        confirmations = RoutingConfirmations(worker_id, ports.bus, tasks, lambda: self.partitions.members_upto)
        self.presence_applier = PresenceApplier(engine, ports.memberships, confirmations, tasks)
        self.reconciler = Reconciler(
            worker_id, engine, self.presence_applier, self._suspensions, ports.leases, ports.bus, tasks
        )
        self.worker_group = WorkerGroup(worker_id, ports.bus, ports.log, self.partitions, contact)
        self._order = MembershipOrder(ports.memberships, known_at=start.taken_at if start else None)
        self._members = Members(engine, ports.log, self.presence_applier, self.partitions, self.publisher, self._order)
        self._typing = TypingRouter(engine, ports.bus, self.partitions, self.publisher, ports.log.partitions)
        self._user_sync = UserSyncRouter(engine, ports.bus, self.worker_group, self.publisher, ports.log.partitions)
        self._channel_list_answers = ChannelListAnswers(
            worker_id, engine, self.presence_applier, self.partitions, ports.bus, tasks, self._is_current
        )
        self._log_resets = LogResets(engine, self.presence_applier, tasks)
        self._tasks = tasks
        self.ready = asyncio.Event()
        """Set when the table is complete, and the worker may read partitions."""

    def users_on(self, instance_id: str) -> list[str]:
        """The users that the table has on an instance, sorted by id."""
        return self._engine.users(instance_id)

    async def start(self) -> None:
        """Find the end of the changes, subscribe, load the table, then read partitions: so no change is missed."""
        self._ports.log.on_reset(self._log_resets.hear)
        if self._start is not None:
            after = self._start.after
        else:
            after = await self._newest_change()
            self._order.begin()  # the log may have been away for long
        self.presence_applier.start()
        self.reconciler.adopt()
        await self.reconciler.listen()
        await self._typing.listen()
        await self._user_sync.listen()
        await self._channel_list_answers.listen()
        self._tasks.start(self.publisher.run(), "publisher")
        self._tasks.start(self._members.run(after), "members")
        self._tasks.start(periodic(LOOK_AT_LEASES_EVERY_S, self.reconciler.follow_leases, "following leases"), "leases")
        self._tasks.start(periodic(MARK_EVERY_S, self._mark, "marking positions"), "marks")
        self._tasks.start(periodic(MARK_EVERY_S, self._find_idle_positions, "finding idle positions"), "idle positions")
        self._tasks.start(self.worker_group.run(self.ready), "worker group")
        self._tasks.start(self._become_ready(), "loading the table")

    def _is_current(self) -> bool:
        return self.ready.is_set() and not self._log_resets.is_loading

    async def check_ready(self) -> None:
        """Return when the worker may read partitions.

        Raises:
            Unavailable: its routing table is not complete yet.
        """
        if not self.ready.is_set():
            raise Unavailable("the routing table is being loaded")

    async def stop(self) -> None:
        """Finish the batches in hand, release the partitions, notify the other workers, and write a snapshot."""
        was_complete = self.ready.is_set()
        self.ready.clear()
        await self.worker_group.leave()
        await self.publisher.settle()
        if self._snapshots and was_complete:
            await self._snapshots.write(self._engine, self._members.position)

    async def _newest_change(self) -> int:
        return await retry_forever(lambda: self._ports.log.last_seq(META), "finding the end of the membership changes")

    async def _become_ready(self) -> None:
        await self.reconciler.complete.wait()
        await self.presence_applier.settled()
        self.ready.set()
        log.info("routing table is complete", **_sizes(self._engine))
        if self._snapshots:
            await self._keep(self._snapshots)

    async def _keep(self, snapshots: Snapshots) -> None:
        while True:
            await asyncio.sleep(snapshots.every_s)
            await snapshots.write(self._engine, self._members.position)

    async def _mark(self) -> None:
        if self._suspensions.mark():
            self.publisher.poke()

    async def _find_idle_positions(self) -> None:
        """Find them, and mark them at once. It is apart from the other marks: a stream may not answer for long."""
        try:
            await self.partitions.find_idle_positions()
        finally:
            await self._mark()


def _sizes(engine: Engine) -> dict[str, int]:
    stats = engine.stats()
    return {name: stats[name] for name in ("users", "channels", "instances")}


@asynccontextmanager
async def running_worker(
    worker_id: str,
    ports: FanOutPorts,
    on_failure: Callable[[BaseException], None],
    *,
    snapshots: Snapshots | None = None,
) -> AsyncIterator[FanOutWorker]:
    """Run a worker for the length of the context; it releases its partitions at the end.

    Args:
        worker_id: this worker; no other worker has the same id.
        ports: the adapters.
        on_failure: called when a part of the worker fails: the process must stop.
        snapshots: where the worker reads its first table, and writes it from time to time; None for nowhere.
    """
    async with Tasks(on_failure) as tasks:
        start = await snapshots.restore() if snapshots else None
        worker = FanOutWorker(worker_id, ports, tasks, start=start, snapshots=snapshots)
        await worker.start()
        yield worker
        await worker.stop()
