"""How long an event loop with a fan-out worker and an instance on it stands still, beside an idle loop."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import uvloop
from msgspec import Meta

from benchmarks.errors import BenchError
from benchmarks.live.memberships import create_channels
from benchmarks.processes import READY, Leader, Worker
from fanout import workers
from fanout.ids import new_device_id
from fanout.ports.authenticator import Identity
from fanout.ports.socket import SocketClosed
from fanout.subjects import instance_control
from services.adapters.embedded.bus import EmbeddedBus
from services.adapters.embedded.log import EmbeddedLog
from services.adapters.embedded.presence import EmbeddedPresence
from services.adapters.sqlite.memberships import SqliteMemberships
from services.fan_out.worker import FanOutPorts, FanOutWorker, running_worker
from services.notification.admission import InstanceLimits
from services.notification.instance import NotificationInstance, NotificationPorts
from services.notification.session import Session
from services.runtime.lifecycle import spare_the_loop
from services.runtime.tasks import Tasks

FULL_USERS: Final = 50_000
FULL_CHANNELS: Final = 100_000
LIMIT_S: Final = 0.005
"""No step on a loop is to be longer."""
WITHIN_S: Final = 120.0
VISITOR: Final = "visitor"
"""The user of very many channels."""
_TICK_NS: Final = 1_000_000
_INSTANCE: Final = "notif-1"
_BUDGET: Final = 1 << 20


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
"""A function of a module, which does something on a loop that is watched."""


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


def _play(settings: tuple[Play, StallsOptions], leader: Leader) -> Stalls:
    play, options = settings
    spare_the_loop()
    return uvloop.run(play(options, leader))


async def _begin(leader: Leader) -> None:
    """Wait until the idle loop is there too."""
    leader.send(READY)
    await leader.receive_async()


async def _idle(_options: StallsOptions, leader: Leader) -> Stalls:
    await _begin(leader)
    watch = Watch()
    async with watch:
        await leader.receive_async()
    return watch.result()


async def presence_sets(options: StallsOptions, leader: Leader) -> Stalls:
    """Let the worker find by digests that an instance has other users: first all of them, then half of them."""
    users, half, watch = [f"user-{number:07d}" for number in range(options.users * 3 // 2)], options.users // 2, Watch()
    present: list[str] = []
    # Made before the clock starts, and left out of garbage collections: on a server, sessions come one by one.
    sessions = {user: Session(_Socket(user), Identity(user, 4e9), "phone", _INSTANCE, budget=_BUDGET) for user in users}
    async with _deployment(0, options.users + 1) as tier:
        spare_the_loop()
        await _begin(leader)
        for turn in range(2 * options.rounds):
            wanted = users[: options.users] if turn % 2 == 0 else users[half : half + options.users]
            going = [sessions[user] for user in set(present).difference(wanted)]
            coming = [sessions[user] for user in sorted(set(wanted).difference(present))]
            tier.placed.clear()
            async with watch:
                await tier.replace(going, coming)
                await _until(partial(tier.has_placed, len(coming)), "the users are reconciled")
            _require(tier.worker.users_on(_INSTANCE) == wanted, "the table does not have exactly these users")
            present = wanted
    return watch.result()


async def visits(options: StallsOptions, leader: Leader) -> Stalls:
    """Let a user of very many channels connect and go, after a first time, for which the machine gives the memory."""
    some = [_channel_name(number) for number in range(0, options.channels, max(1, options.channels // 10))]
    async with _deployment(options.channels, 10) as tier:
        watch = Watch()
        await _visit(tier, some)
        await _begin(leader)
        async with watch:
            for _ in range(options.rounds):
                await _visit(tier, some)
    return watch.result()


async def _visit(tier: "_Tier", some: list[str]) -> None:
    registry, client = tier.instance.registry, _Socket(VISITOR)
    serving = asyncio.create_task(tier.instance.serve(client))
    await _until(lambda: client.bytes_read > 0 or serving.done(), "the visitor is admitted")
    _require(tier.worker.users_on(_INSTANCE) == [VISITOR], "the table does not have the visitor, who was admitted")
    _require(all(registry.is_member(VISITOR, name) for name in some), "the visitor does not read all channels")
    await client.close()
    await serving
    await _until(lambda: not tier.worker.users_on(_INSTANCE), "the table no longer has the visitor, who has gone")
    _require(not len(registry), "the visitor has gone, and is still here")
    _require(not any(registry.is_member(VISITOR, name) for name in some), "the visitor has gone, and still reads")


class _Tier(NamedTuple):
    """A worker and an instance on this loop, and the users of whom the worker said that their events are routed."""

    worker: FanOutWorker
    instance: NotificationInstance
    placed: set[str]

    def has_placed(self, count: int) -> bool:
        return len(self.placed) >= count

    async def replace(self, going: Iterable[Session], coming: Iterable[Session]) -> None:
        """Give the instance other users; no hint tells the worker."""
        for session in going:
            await self.instance.registry.remove(session)
            await asyncio.sleep(0)
        for session in coming:
            self.instance.registry.add(session)
            await asyncio.sleep(0)


@asynccontextmanager
async def _deployment(channels: int, capacity: int) -> AsyncIterator[_Tier]:
    """Run both over stores in memory. The visitor alone has channels. A part of them that fails ends the scene."""
    failures: list[BaseException] = []
    placed: set[str] = set()
    limits = InstanceLimits(_INSTANCE, capacity, auth_timeout_s=10, heartbeat_s=30, socket_budget=_BUDGET)
    async with AsyncExitStack() as stack:
        log, memberships = await EmbeddedLog.open(None, partitions=4), await SqliteMemberships.open(None)
        bus, presence = EmbeddedBus(), EmbeddedPresence()
        for store in (log, memberships, bus, presence):
            stack.push_async_callback(store.close)
        await create_channels(memberships, {_channel_name(number): [VISITOR] for number in range(channels)})
        tasks = await stack.enter_async_context(Tasks(failures.append))
        await bus.subscribe(instance_control(_INSTANCE), lambda _, message: placed.update(_confirmed(message)))
        ports = FanOutPorts(log, bus, presence, presence, memberships)
        worker = await stack.enter_async_context(running_worker("worker-1", ports, failures.append))
        await _until(worker.ready.is_set, "the worker is ready")
        sockets = NotificationPorts(log, bus, presence, presence, presence, memberships, _AnyToken())
        instance = NotificationInstance(limits, sockets, tasks, heartbeat_timeout_s=3_600)
        await instance.start("ws://127.0.0.1:1/ws")
        yield _Tier(worker, instance, placed)
    _require(not failures, f"a service failed: {failures}")


def _channel_name(number: int) -> str:
    """The name of one of the visitor's channels; neighbours in number are none in name."""
    return f"channel-{number * 2_654_435_761 % 2**32:010d}-{number}"


def _confirmed(message: bytes) -> Sequence[str]:
    control = workers.decode_control(message)
    return control.users if isinstance(control, workers.RoutingConfirmed) else ()


class _Socket:
    """The socket port without a network: it reads everything at once, and closes when it is told to."""

    authorization = None
    buffered = 0

    def __init__(self, user_id: str) -> None:
        self.bytes_read = 0
        self._frames: asyncio.Queue[str | None] = asyncio.Queue()
        auth = {"type": "auth", "token": user_id, "device_id": new_device_id()}
        self._frames.put_nowait(msgspec.json.encode(auth).decode())

    def write(self, frames: bytes) -> None:
        self.bytes_read += len(frames)

    def acquire_descriptor(self, on_change: object) -> None:
        pass

    def allow_large_messages(self) -> None:
        pass

    async def receive(self) -> str:
        if (frame := await self._frames.get()) is None:
            raise SocketClosed
        return frame

    async def close(self, code: int = 1000, reason: str = "") -> None:  # noqa: ARG002 - as the port has it
        self._frames.put_nowait(None)


class _AnyToken:
    async def verify(self, token: str) -> Identity:
        return Identity(token, time.time() + 3_600)


async def _until(holds: Callable[[], bool], what: str) -> None:
    """Wait for what a service brings about; without it, how long the loop stood still says nothing."""
    try:
        async with asyncio.timeout(WITHIN_S):
            while not holds():  # noqa: ASYNC110 - what is looked at has no event
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise BenchError(f"not within {WITHIN_S:g} s: {what}") from None


def _require(holds: object, otherwise: str) -> None:
    """Check the effect of what was done."""
    if not holds:
        raise BenchError(otherwise)
