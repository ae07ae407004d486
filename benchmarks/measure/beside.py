"""Lookups, and an event loop, while users of many channels come and go in another thread without pause.

Python's threads take turns, up to `sys.getswitchinterval()` each. It is set to 50 microseconds here, so that a waiting
thread is let in soon and what is left to see are the engine's own locks and the time that its calls hold the turn.
"""

import asyncio
import gc
import hashlib
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from time import perf_counter, perf_counter_ns
from typing import Final

import msgspec

from benchmarks.apart import Progress
from benchmarks.histogram import Histogram
from benchmarks.measure.fill import bring_online
from benchmarks.measure.logins import INSTANCE
from benchmarks.population import Population
from fanout import Engine

SWITCH_INTERVAL_S: Final = 50e-6
PERCENTILES: Final = (0.5, 0.9, 0.99, 0.999, 0.9999)
_TURNS: Final = 3
_USER: Final = "visitor"
_BLOCK: Final = 1_000
_NAMES: Final = 100_000
_LOOKUP_DRAW: Final = 1 << 21
_MS_IN_NS: Final = 1_000_000
_HASHED: Final = bytes(8 << 20)
"""Some milliseconds of work, as a login is."""


class Distribution(msgspec.Struct, frozen=True):
    """Durations in seconds."""

    count: int
    percentiles: dict[str, float]
    longest: float
    over_ms_per_second: float
    """How many took longer than a millisecond, for each second that was watched."""
    curve: list[tuple[float, float]]
    """Points (share of all, seconds)."""


class Beside(msgspec.Struct, frozen=True):
    """By scene: nothing else at work, something else, users whose channels are cached, or are given by name."""

    lookups: dict[str, Distribution]
    """Single calls of `instances`."""
    loop: dict[str, Distribution]
    """Rounds of an asyncio event loop that does nothing else: a long one is a stall."""


def beside(progress: Progress, population: Population, channels: int, seconds: float) -> Beside:
    """Watch each scene several times in turn, so that a slow moment of the machine strikes all alike.

    Args:
        progress: told how far it is.
        population: what the engine holds.
        channels: of the user who comes and goes.
        seconds: for which each scene is watched.
    """
    gc.disable()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    engine = Engine()
    bring_online(engine, population, progress)
    names = population.some_names(min(_NAMES, population.channels), _LOOKUP_DRAW)
    works = _works(engine, population.some_names(channels, _LOOKUP_DRAW + 1))
    lookups, loop = ({scene: Histogram() for scene in works} for _ in range(2))
    for turn in range(_TURNS):
        for at, (scene, work) in enumerate(works.items()):
            progress((turn + at / len(works)) / _TURNS, "lookups and a loop beside logins")
            _look_up(engine, work, _blocks(names, seconds / _TURNS), lookups[scene])
            asyncio.run(_spin(work, _blocks(names, seconds / _TURNS), loop[scene]))
    described = ({scene: _described(counted) for scene, counted in seen.items()} for seen in (lookups, loop))
    return Beside(*described)


def _works(engine: Engine, visited: list[str]) -> dict[str, Callable[[], object] | None]:
    def visit(names: list[str] | None) -> None:
        engine.user_online(_USER, INSTANCE, names)
        engine.user_offline(_USER, INSTANCE)

    visit(visited)
    return {
        "alone": None,
        "busy": lambda: hashlib.sha256(_HASHED),  # without the turn, as the engine's bulk work is
        "cached": lambda: visit(None),
        "known": lambda: visit(visited),
    }


def _repeat(work: Callable[[], object] | None, stop: Event) -> None:
    while work and not stop.is_set():
        work()


def _look_up(
    engine: Engine, work: Callable[[], object] | None, blocks: Iterator[list[str]], counted: Histogram
) -> None:
    """Lookups in this thread, the work in another."""
    stop, instances, clock = Event(), engine.instances, perf_counter_ns
    with ThreadPoolExecutor(1) as thread:
        visits = thread.submit(_repeat, work, stop)
        try:
            for names in blocks:
                durations = []
                for name in names:
                    began = clock()
                    instances(name)
                    durations.append(clock() - began)
                counted.record(durations)
        finally:
            stop.set()
        visits.result()


async def _spin(work: Callable[[], object] | None, blocks: Iterator[list[str]], counted: Histogram) -> None:
    """An event loop that goes round, the work in a thread of its pool, as services do."""
    stop, clock = Event(), perf_counter_ns
    visits = asyncio.create_task(asyncio.to_thread(_repeat, work, stop))
    try:
        for names in blocks:
            durations = []
            for _ in names:
                began = clock()
                await asyncio.sleep(0)
                durations.append(clock() - began)
            counted.record(durations)
    finally:
        stop.set()
        await visits


def _blocks(names: list[str], seconds: float) -> Iterator[list[str]]:
    """Names in blocks, over and over, until the time is up."""
    end, at = perf_counter() + seconds, 0
    while perf_counter() < end:
        yield names[at : at + _BLOCK]
        at = (at + _BLOCK) % len(names)


def _described(counted: Histogram) -> Distribution:
    return Distribution(
        count=counted.count,
        percentiles={f"p{share * 100:g}": counted.percentile(share) / 1e9 for share in PERCENTILES},
        longest=counted.longest / 1e9,
        over_ms_per_second=counted.longer_than(_MS_IN_NS) / max(counted.total / 1e9, 1e-9),
        curve=[(share, taken / 1e9) for share, taken in counted.curve()],
    )
