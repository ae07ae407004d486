"""A loop with a timer on it, beside an idle loop in another process in the same moments."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any, Final

import msgspec
import uvloop
from msgspec import Meta

from benchmarks.processes import READY, Leader, Worker
from services.runtime.lifecycle import spare_the_loop

FULL_USERS: Final = 50_000
FULL_CHANNELS: Final = 100_000
LIMIT_S: Final = 0.005
"""No step on a loop is to be longer."""
_TICK_NS: Final = 1_000_000


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


async def begin(leader: Leader) -> None:
    """Wait until the idle loop is there too."""
    leader.send(READY)
    await leader.receive_async()


async def repeat(visit: Callable[[], Awaitable[None]], options: StallsOptions, leader: Leader) -> Stalls:
    """Watch visits after a first one, whose memory is new to the process: the machine has to give it."""
    watch = Watch()
    await visit()
    await begin(leader)
    async with watch:
        for _ in range(options.rounds):
            await visit()
    return watch.result()


async def _idle(_options: StallsOptions, leader: Leader) -> Stalls:
    await begin(leader)
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
