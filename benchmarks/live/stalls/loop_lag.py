"""A loop as a timer on it sees it: how much later than it was due each turn came, and what the thread did meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final, TypeVar

import msgspec
import uvloop

from benchmarks.histogram import Histogram
from benchmarks.processes import READY, Leader
from services.runtime.lifecycle import spare_the_loop

TICK_S: Final = 0.001
LIMIT_S: Final = 0.005
"""No step on a loop is to be longer."""
_NS: Final = 1e9

R = TypeVar("R")


class Stalls(msgspec.Struct, frozen=True):
    """Turns of a loop, in seconds beyond the millisecond after which each was due."""

    turns: int
    p999: float
    longest: float
    over_limit: int
    """How many were later than 5 ms."""
    longest_work: float
    """The most processor time that the loop's own thread took from one turn to the next: neither other programs nor
    other threads show in it."""


class Watch:
    """Ticks on the running loop, once a millisecond."""

    def __init__(self) -> None:
        self._late = Histogram()
        self._work = 0
        self._ignored = False

    async def run(self) -> None:
        """Watch until cancelled."""
        clock, work = time.perf_counter_ns, time.thread_time_ns
        due = int(TICK_S * _NS)
        while True:
            began, worked = clock(), work()
            await asyncio.sleep(TICK_S)
            if self._ignored:
                continue
            self._late.record([max(0, clock() - began - due)])
            self._work = max(self._work, work() - worked)

    @contextmanager
    def ignoring(self) -> Iterator[None]:
        """Look away while the harness itself works: its checks hold the interpreter for longer than what is checked."""
        self._ignored = True
        try:
            yield
        finally:
            asyncio.get_running_loop().call_later(2 * TICK_S, self._look_again)

    def _look_again(self) -> None:
        self._ignored = False

    def result(self) -> Stalls:
        """What was seen."""
        return Stalls(
            turns=self._late.count,
            p999=self._late.percentile(0.999) / _NS,
            longest=self._late.longest / _NS,
            over_limit=self._late.longer_than(int(LIMIT_S * _NS)),
            longest_work=self._work / _NS,
        )


@asynccontextmanager
async def watched() -> AsyncIterator[Watch]:
    """Watch the loop for the length of the context."""
    watch = Watch()
    watching = asyncio.create_task(watch.run(), name="watching the loop")
    try:
        yield watch
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


def on_a_loop(work: Coroutine[Any, Any, R]) -> R:
    """Run work on a loop as services have it."""
    spare_the_loop()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def idle(_settings: None, leader: Leader) -> Stalls:
    """A loop with nothing to do, in the same moments: its stalls are the machine's."""
    return on_a_loop(_idle(leader))


async def _idle(leader: Leader) -> Stalls:
    async with watched() as watch:
        leader.send(READY)
        await leader.receive_async()
    return watch.result()
