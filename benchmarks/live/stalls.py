"""Stalls of the loops of a worker and of an instance, beside an idle loop in another process in the same moments.

Each scene does its work on a loop with a timer, and checks that the work had its effect.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Annotated, Any, Final, TypeVar, cast

import msgspec
import uvloop
from msgspec import Meta
from prometheus_client import REGISTRY

from benchmarks.errors import BenchError
from benchmarks.live.instances import ADDRESS, BUDGET, INSTANCE, NO_DEVICES, FakeSocket, started_instance
from benchmarks.live.memberships import create_channels
from benchmarks.population import user_name
from benchmarks.processes import READY, Leader, Worker
from fanout import presence_digest, workers
from fanout.events import timestamp
from fanout.ports.authenticator import Identity
from fanout.ports.presence import Lease
from fanout.subjects import PRESENCE_DIGESTS, PRESENCE_HINTS, instance_control, worker_inbox
from services.adapters.embedded.bus import EmbeddedBus
from services.adapters.embedded.log import EmbeddedLog
from services.adapters.embedded.presence import EmbeddedPresence
from services.adapters.sqlite.memberships import SqliteMemberships
from services.fan_out.worker import FanOutPorts, FanOutWorker, running_worker
from services.notification.channel_lists import ChannelLists
from services.notification.control import Control
from services.notification.device_sessions import DeviceSessions
from services.notification.instance import NotificationInstance
from services.notification.registry import Registry
from services.notification.routing_barrier import RoutingBarrier
from services.notification.session import Session
from services.runtime.lifecycle import spare_the_loop
from services.runtime.tasks import Tasks, periodic

FULL_USERS: Final = 50_000
FULL_CHANNELS: Final = 100_000
LIMIT_S: Final = 0.005
"""No step on a loop is to be longer."""
_TICK_NS: Final = 1_000_000
VISITOR: Final = "visitor"
"""The user of very many channels."""
WORKER: Final = "worker-1"
_INCARNATION: Final = "01HZ0000000000000000000001"
_DIGEST_EVERY_S: Final = 0.1
WITHIN_S: Final = 120.0


_R = TypeVar("_R")
_Stores = tuple[EmbeddedLog, EmbeddedBus, EmbeddedPresence, SqliteMemberships]


class StallsOptions(msgspec.Struct, frozen=True):
    """How much there is to do."""

    users: Annotated[int, Meta(ge=1, description="Users of an instance.")] = FULL_USERS
    channels: Annotated[int, Meta(ge=1, description="Channels of the user who comes and goes.")] = FULL_CHANNELS
    rounds: Annotated[int, Meta(ge=1, description="How often each is tried.")] = 10


class Stalls(msgspec.Struct, frozen=True):
    """Turns of a loop, in seconds beyond the millisecond after which each was due."""

    turns: int
    longest: float
    over_limit: int
    """How many were later than 5 ms."""
    longest_work: float
    """The most processor time that the loop's own thread took from one turn to the next, other threads not included."""


class Scene(msgspec.Struct, frozen=True):
    """A loop and the idle one beside it."""

    loop: Stalls
    control: Stalls


Play = Callable[[StallsOptions, Leader], Coroutine[Any, Any, Stalls]]
"""Works on a loop that is watched: a function of a module."""


class Watch:
    """Ticks on the running loop, once a millisecond while the context lasts, which may be many times.

    The checks of the harness stay outside: they hold the interpreter for longer than the steps that they check.
    """

    def __init__(self) -> None:
        self._late, self._work = list[int](), 0

    async def __aenter__(self) -> None:
        self._ticking = asyncio.create_task(self._tick(), name="watching the loop")

    async def __aexit__(self, *_: object) -> None:
        self._ticking.cancel()

    async def _tick(self) -> None:
        clock, work = time.perf_counter_ns, time.thread_time_ns
        while True:
            began, worked = clock(), work()
            await asyncio.sleep(_TICK_NS / 1e9)
            self._late.append(max(0, clock() - began - _TICK_NS))
            self._work = max(self._work, work() - worked)

    def result(self) -> Stalls:
        """The turns that were seen."""
        over_limit = sum(late > LIMIT_S * 1e9 for late in self._late)
        return Stalls(len(self._late), max(self._late, default=0) / 1e9, over_limit, self._work / 1e9)


async def _begin(leader: Leader) -> None:
    """Wait until the idle loop is there too."""
    leader.send(READY)
    await leader.receive_async()


async def _repeat(visit: Callable[[], Awaitable[None]], options: StallsOptions, leader: Leader) -> Stalls:
    """Watch visits after a first one, whose memory is new to the process: the machine has to give it."""
    watch = Watch()
    await visit()
    await _begin(leader)
    async with watch:
        for _ in range(options.rounds):
            await visit()
    return watch.result()


async def _idle(_options: StallsOptions, leader: Leader) -> Stalls:
    await _begin(leader)
    watch = Watch()
    async with watch:
        await leader.receive_async()
    return watch.result()


def _play(settings: tuple[Play, StallsOptions], leader: Leader) -> Stalls:
    play, options = settings
    spare_the_loop()
    return uvloop.run(play(options, leader))


def run_scene(name: str, play: Play, options: StallsOptions) -> Scene:
    """Run it once; what was done and did not have its effect is a `BenchError`."""
    with (
        Worker(name, _play, (play, options)) as worker,
        Worker(f"the idle loop beside {name}", _play, (_idle, options)) as control,
    ):
        for each in (worker, control):
            each.receive(str)
        for each in (control, worker):
            each.send(READY)
        loop = worker.receive(Stalls)
        control.send(READY)
        return Scene(loop, control.receive(Stalls))


def beside_an_idle_loop(work: Callable[[], _R]) -> tuple[_R, Stalls]:
    """Do some work; its result, and the stalls of an idle loop in another process meanwhile: the machine's."""
    with Worker("the idle loop", _play, (_idle, StallsOptions())) as control:
        control.receive(str)
        control.send(READY)
        done = work()
        control.send(READY)
        return done, control.receive(Stalls)


async def until(holds: Callable[[], bool], what: str, within_s: float | None = None) -> None:
    """Wait for the effect of what is done; without it, how long the loop stood still says nothing."""
    try:
        async with asyncio.timeout(within_s or WITHIN_S):
            while not holds():  # noqa: ASYNC110 - what is looked at has no event
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise BenchError(f"not within {within_s or WITHIN_S:g} s: {what}") from None


def require(holds: object, otherwise: str) -> None:
    """Check the effect of what was done."""
    if not holds:
        raise BenchError(otherwise)


@asynccontextmanager
async def _stores(channels: int) -> AsyncIterator[tuple[_Stores, Tasks]]:
    """Open all in memory; nobody but the visitor has channels. A service's part that fails ends the scene."""
    failures: list[BaseException] = []
    memberships = await SqliteMemberships.open(None)
    log, bus = await EmbeddedLog.open(None, partitions=4), EmbeddedBus()
    await create_channels(memberships, {channel_name(number): [VISITOR] for number in range(channels)})
    async with AsyncExitStack() as stack:
        for store in (log, bus, memberships):
            stack.push_async_callback(store.close)
        tasks = await stack.enter_async_context(Tasks(failures.append))
        yield (log, bus, EmbeddedPresence(), memberships), tasks
    require(not failures, f"the service failed: {failures}")


def channel_name(number: int) -> str:
    """The name of one of the visitor's channels; neighbours in number are none in name."""
    return f"channel-{number * 2_654_435_761 % 2**32:010d}-{number}"


class _InstanceStub:
    """The part of an instance that workers know, with users who have no sessions: a lease, and its control messages."""

    def __init__(self, bus: EmbeddedBus, presence: EmbeddedPresence, tasks: Tasks) -> None:
        self._bus = bus
        self._presence = presence
        self.announced = 0
        self._users: list[str] = []
        self._digest = (0, 0)
        self.placed: set[str] = set()
        barrier = cast("RoutingBarrier", self)
        lists = ChannelLists(INSTANCE, bus, barrier)
        devices = DeviceSessions(NO_DEVICES, bus)
        self.control = Control(INSTANCE, _INCARNATION, bus, cast("Registry", self), barrier, lists, devices, tasks)

    async def hold(self, users: Sequence[str]) -> None:
        """Have these users from now on; the worker learns it from the next digest."""
        digest = await asyncio.to_thread(presence_digest, users)  # the instance's work, and not the worker's
        self.placed.clear()
        self._users, self._digest = list(users), digest

    async def announce(self, *, online: bool) -> None:
        """Publish that the visitor comes or goes; the digest says the same."""
        await self.hold([VISITOR] if online else [])
        self.announced += 1
        change = workers.PresenceChange(VISITOR, online, INSTANCE, _INCARNATION, self.announced)
        await self._bus.publish(PRESENCE_HINTS, msgspec.json.encode(change))

    async def publish_digest(self) -> None:
        await self._presence.lease(Lease(INSTANCE, _INCARNATION, ADDRESS, timestamp(), len(self._users), 1_000_000))
        await self.control.publish_digest()

    def users(self) -> list[str]:
        return self._users

    def digest(self) -> tuple[int, int]:
        return self._digest

    def confirm(self, confirmed: workers.RoutingConfirmed) -> None:
        self.placed.update(confirmed.users)


@asynccontextmanager
async def _worker(channels: int) -> AsyncIterator[tuple[_InstanceStub, FanOutWorker]]:
    failures: list[BaseException] = []
    async with _stores(channels) as ((log, bus, presence, memberships), tasks):
        instance = _InstanceStub(bus, presence, tasks)
        await instance.control.listen()
        tasks.start(periodic(_DIGEST_EVERY_S, instance.publish_digest, "publishing the digest"), "digest")
        ports = FanOutPorts(log, bus, presence, memberships)
        async with running_worker(WORKER, ports, failures.append) as worker:
            await until(worker.ready.is_set, "the worker is ready")
            yield instance, worker
    require(not failures, f"the worker failed: {failures}")


async def worker_presence(options: StallsOptions, leader: Leader) -> Stalls:
    """Load the users of an instance, then replace half of them, of which no hint comes."""
    users, half, watch = list(map(user_name, range(options.users * 3 // 2))), options.users // 2, Watch()
    presence_sets = [users[: options.users], users[half : half + options.users]]
    async with _worker(channels=0) as (instance, worker):

        async def reconcile(present: list[str], coming: int) -> None:
            await instance.hold(present)
            async with watch:
                await until(lambda: len(instance.placed) == coming, "the users are reconciled")
            await until(lambda: worker.users_on(INSTANCE) == present, "the table has exactly these users")

        await _begin(leader)
        await reconcile(presence_sets[0], options.users)
        for turn in range(1, 2 * options.rounds):
            await reconcile(presence_sets[turn % 2], half)
    return watch.result()


async def worker_visits(options: StallsOptions, leader: Leader) -> Stalls:
    """Let a user of very many channels come and go."""
    async with _worker(options.channels) as (instance, worker):

        async def visit() -> None:
            await instance.announce(online=True)
            await until(lambda: VISITOR in instance.placed, "the visitor is placed")
            require(worker.users_on(INSTANCE) == [VISITOR], "the table does not have the visitor, who was placed")
            await instance.announce(online=False)
            await until(lambda: not REGISTRY.get_sample_value("fanout_users_placed"), "the visitor is taken off")
            require(not worker.users_on(INSTANCE), "the table has the visitor, who has gone")

        return await _repeat(visit, options, leader)


@asynccontextmanager
async def _instance(channels: int, capacity: int) -> AsyncIterator[tuple[NotificationInstance, EmbeddedBus]]:
    """Run an instance that knows no worker, whose confirmation clients would wait for."""
    async with _stores(channels) as ((log, bus, presence, memberships), tasks):
        yield await started_instance(log, bus, presence, memberships, tasks, capacity=capacity), bus


async def instance_presence(options: StallsOptions, leader: Leader) -> Stalls:
    """Ask an instance with very many users for all of them, while it publishes digests."""
    users, watch = list(map(user_name, range(options.users))), Watch()
    digests: list[workers.PresenceDigest] = []
    pages: list[workers.PresenceSetPage] = []
    async with _instance(0, options.users + 1) as (instance, bus):
        await bus.subscribe(worker_inbox(WORKER), lambda _, page: pages.append(workers.decode_presence_set_page(page)))
        await bus.subscribe(PRESENCE_DIGESTS, lambda _, digest: digests.append(workers.decode_digest(digest)))
        for user in users:
            instance.registry.add(Session(FakeSocket(user), Identity(user, 4e9), "phone", INSTANCE, budget=BUDGET))
            await asyncio.sleep(0)
        due = await asyncio.to_thread(presence_digest, users)
        await _begin(leader)
        for number in range(2 * options.rounds):
            digests.clear()
            pages.clear()
            async with watch:
                request = msgspec.json.encode(workers.PresenceSetRequest(WORKER, str(number)))
                await bus.publish(instance_control(INSTANCE), request)
                await until(lambda: bool(digests and pages and pages[-1].last), "the presence set and a digest come")
            sent = sorted(user for page in pages for user in page.users)
            require(sent == users, "the presence set does not have the users who are here")
            require((digests[-1].users, digests[-1].digest) == due, "the digest is not that of the users who are here")
    return watch.result()


async def instance_visits(options: StallsOptions, leader: Leader) -> Stalls:
    """Let a user of very many channels connect and go."""
    some = [channel_name(number) for number in range(0, options.channels, max(1, options.channels // 10))]
    async with _instance(options.channels, 10) as (instance, _):
        registry = instance.registry
        reads = partial(registry.is_member, VISITOR)

        async def visit() -> None:
            client = FakeSocket(VISITOR)
            serving = asyncio.create_task(instance.serve(client))
            await until(lambda: client.bytes_read > 0 or serving.done(), "the visitor is admitted")
            require(all(map(reads, some)), "the visitor does not read all channels")
            await client.close()
            await serving
            require(not len(registry), "the visitor has gone, and is still here")
            require(not any(map(reads, some)), "the visitor has gone, and still reads channels")

        return await _repeat(visit, options, leader)


SCENES: Final[dict[str, tuple[Play, str]]] = {
    "worker, presence sets": (
        worker_presence,
        "A worker, whose table has all users of an instance, finds half of them to be others.",
    ),
    "worker, visits": (
        worker_visits,
        "A worker places a user of very many channels, and takes the user off; not the first time.",
    ),
    "instance, presence sets": (
        instance_presence,
        "An instance tells who is here: digests each second, and its whole presence set.",
    ),
    "instance, visits": (instance_visits, "A user of very many channels connects to an instance, and goes."),
}
"""The work on each loop, and a note about it."""
