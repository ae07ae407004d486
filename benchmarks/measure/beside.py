"""Lookups, and an event loop, while users of many channels come and go in another thread without pause.

Python's threads take turns, up to `sys.getswitchinterval()` each. It is set to 50 microseconds here, so that a waiting
thread is let in soon and what is left to see are the engine's own locks and the time that its calls hold the turn.
"""

import asyncio
import gc
import hashlib
import sys
import threading
from collections.abc import Callable, Iterator
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
SCENES: Final = ("alone", "busy", "cached", "known")
"""Nobody comes or goes, and nothing else is at work; or something that has nothing to do with the engine; users whose
channels are cached come and go; users whose channels are given by name do."""
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
    """By scene."""

    lookups: dict[str, Distribution]
    """Single calls of `instances`."""
    loop: dict[str, Distribution]
    """Rounds of an asyncio event loop that does nothing else: a long one is a stall."""
    visits: dict[str, int]
    """How often a user came and left meanwhile, lookups and loop together."""


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
    stage = Stage(engine, population, channels, seconds / _TURNS)
    for turn in range(_TURNS):
        for at, scene in enumerate(SCENES):
            progress((turn + at / len(SCENES)) / _TURNS, "lookups and a loop beside logins")
            stage.look_up(scene)
            asyncio.run(stage.spin(scene))
    return stage.result()


class Stage:
    """An engine whose lookups and whose event loop are watched."""

    def __init__(self, engine: Engine, population: Population, channels: int, seconds: float) -> None:
        self._engine = engine
        self._seconds = seconds
        self._visitor = population.some_names(channels, _LOOKUP_DRAW + 1)
        self._names = population.some_names(min(_NAMES, population.channels), _LOOKUP_DRAW)
        self._lookups = {scene: Histogram() for scene in SCENES}
        self._loop = {scene: Histogram() for scene in SCENES}
        self._visits = dict.fromkeys(("cached", "known"), 0)
        self._works: dict[str, Callable[[], object] | None] = {
            "alone": None,
            "busy": lambda: hashlib.sha256(_HASHED),  # without the turn, as the engine's bulk work is
            "cached": lambda: self._visit("cached", None),
            "known": lambda: self._visit("known", self._visitor),
        }
        engine.user_online(_USER, INSTANCE, self._visitor)
        engine.user_offline(_USER, INSTANCE)

    def look_up(self, scene: str) -> None:
        """Lookups in this thread, the scene's work in another."""
        stop = threading.Event()
        visits = threading.Thread(target=self._work, args=(scene, stop))
        visits.start()
        try:
            self._time_lookups(self._lookups[scene])
        finally:
            stop.set()
            visits.join()

    async def spin(self, scene: str) -> None:
        """An event loop that goes round, the scene's work in a thread of its pool, as services do."""
        stop = threading.Event()
        visits = asyncio.create_task(asyncio.to_thread(self._work, scene, stop))
        try:
            await self._time_rounds(self._loop[scene])
        finally:
            stop.set()
            await visits

    def result(self) -> Beside:
        """All turns."""
        return Beside(
            lookups={scene: described(counted) for scene, counted in self._lookups.items()},
            loop={scene: described(counted) for scene, counted in self._loop.items()},
            visits=self._visits,
        )

    def _work(self, scene: str, stop: threading.Event) -> None:
        work = self._works[scene]
        while work and not stop.is_set():
            work()

    def _visit(self, scene: str, names: list[str] | None) -> None:
        self._engine.user_online(_USER, INSTANCE, names)
        self._engine.user_offline(_USER, INSTANCE)
        self._visits[scene] += 1

    def _time_lookups(self, counted: Histogram) -> None:
        instances, clock = self._engine.instances, perf_counter_ns
        for names in self._blocks():
            durations = []
            for name in names:
                began = clock()
                instances(name)
                durations.append(clock() - began)
            counted.record(durations)

    async def _time_rounds(self, counted: Histogram) -> None:
        clock = perf_counter_ns
        for names in self._blocks():
            durations = []
            for _ in names:
                began = clock()
                await asyncio.sleep(0)
                durations.append(clock() - began)
            counted.record(durations)

    def _blocks(self) -> Iterator[list[str]]:
        """Names in blocks, over and over, until the time is up."""
        end = perf_counter() + self._seconds
        at = 0
        while perf_counter() < end:
            yield self._names[at : at + _BLOCK]
            at = (at + _BLOCK) % len(self._names)


def described(counted: Histogram) -> Distribution:
    """A histogram of nanoseconds in figures."""
    return Distribution(
        count=counted.count,
        percentiles={f"p{share * 100:g}": counted.percentile(share) / 1e9 for share in PERCENTILES},
        longest=counted.longest / 1e9,
        over_ms_per_second=counted.longer_than(_MS_IN_NS) / max(counted.total / 1e9, 1e-9),
        curve=[(share, taken / 1e9) for share, taken in counted.curve()],
    )
