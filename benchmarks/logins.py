"""A user of very many channels comes online and leaves: beside the floor, and beside lookups and an event loop.

Python's threads take turns, up to `sys.getswitchinterval()` each. Beside logins it is set to 50 microseconds, so that a
waiting thread is let in soon and what is left to see are the engine's locks and the time that its calls hold the turn.
"""

import asyncio
import gc
import hashlib
import sys
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from mmap import MADV_HUGEPAGE, MAP_ANONYMOUS, MAP_PRIVATE, PAGESIZE, mmap
from threading import Event
from time import perf_counter, perf_counter_ns
from typing import Final

from benchmarks.drawing import channel_names
from benchmarks.floor import touch
from benchmarks.histogram import Histogram
from benchmarks.population import Population
from benchmarks.tables import Kind, Measured, RoutingTable, bring_online, digest, new_table
from fanout import Engine

VISITS: Final = {
    "cached": ("online, memberships cached", "The user was here before, and the engine knows the channels."),
    "known": ("online, by known names", "The channels come as strings that the table has."),
    "new": ("online, by new names", "The channels come as strings that nobody used before."),
    "offline": ("offline", "After the first two."),
    "vanishing": ("offline and forgotten, of new names", "The channels have no other users, so that they go too."),
}
"""The calls that are timed in each round."""
FLOORS: Final = {"ordinary": (16, False), "wide": (32, False), "huge": (16, True)}
"""Bytes of a row, and whether huge pages are asked for, as the engine's allocator does."""
_SWITCH_INTERVAL_S: Final = 50e-6
_INSTANCE: Final = "notif-0"
_FIRST_DRAW: Final = 1 << 20
_LOOKUP_DRAW: Final = 1 << 21
"""Far apart, so that users and lookups have draws of their own."""
_TURNS: Final = 3
_BLOCK: Final = 1_000
_NAMES: Final = 100_000
_HASHED: Final = bytes(8 << 20)
"""Some milliseconds of work, as a login is."""


class Logins(Measured, frozen=True):
    """Seconds of each round."""

    seconds: dict[str, list[float]]
    """By the keys of `VISITS`, and of one touch of each row by those of `FLOORS`."""


def logins(kind: Kind, population: Population, channels: int, rounds: int) -> Logins:
    """Fill a table, and let users of many channels come and go.

    Each round does everything once, so that a slow moment of the machine affects all of it alike.
    """
    gc.disable()
    table = new_table(kind)
    bring_online(table, population)
    floors = {name: empty_floor(population.channels * size, huge=huge) for name, (size, huge) in FLOORS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in (*VISITS, *FLOORS)}
    returned: list[object] = []

    def timed(name: str, call: Callable[..., object], *args: object) -> None:
        began = perf_counter()
        returned.append(call(*args))
        seconds[name].append(perf_counter() - began)

    for turn in range(rounds):
        table.user_online(f"cached-{turn}", _INSTANCE, channel_names(population.some(channels, _FIRST_DRAW + 2 * turn)))
        table.user_offline(f"cached-{turn}", _INSTANCE)
    for turn in range(rounds):
        timed("cached", table.user_online, f"cached-{turn}", _INSTANCE)
        timed("offline", table.user_offline, f"cached-{turn}", _INSTANCE)
        places, first = population.some(channels, _FIRST_DRAW + 2 * turn + 1), population.channels + turn * channels
        timed("known", table.user_online, "by-name", _INSTANCE, channel_names(places))
        timed("offline", table.user_offline, "by-name", _INSTANCE)
        table.forget("by-name")  # so that the next visit has no old list to replace
        ordered = array("I", sorted(places))
        for name, floor in floors.items():
            timed(name, touch, floor, FLOORS[name][0], ordered)
        timed("new", table.user_online, "new", _INSTANCE, channel_names(range(first, first + channels)))
        timed("vanishing", _vanish, table)
    return Logins(digest(returned), seconds)


def empty_floor(size: int, *, huge: bool) -> mmap:
    """Memory of its own, every page of which is there."""
    memory = mmap(-1, size, flags=MAP_PRIVATE | MAP_ANONYMOUS)
    if huge:
        memory.madvise(MADV_HUGEPAGE)
    for page in range(0, size, PAGESIZE):
        memory[page] = 0
    return memory


def _vanish(table: RoutingTable) -> int:
    gone = table.user_offline("new", _INSTANCE)
    table.forget("new")
    return gone


Scenes = dict[str, Histogram]
"""By scene: nothing else at work, something else, users whose channels are cached, or are given by name."""


def beside(population: Population, channels: int, seconds: float) -> tuple[Scenes, Scenes]:
    """Watch each scene for some seconds, several times in turn, while a user of so many channels comes and goes.

    Returns:
        single lookups; rounds of an asyncio event loop that does nothing else: a long one is a stall.
    """
    gc.disable()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    engine = Engine()
    bring_online(engine, population)
    names, visited = population.some_names(_NAMES, _LOOKUP_DRAW), population.some_names(channels, _LOOKUP_DRAW + 1)

    def visit(names: list[str] | None) -> None:
        engine.user_online("visitor", _INSTANCE, names)
        engine.user_offline("visitor", _INSTANCE)

    visit(visited)
    works: dict[str, Callable[[], object] | None] = {
        "alone": None,
        "busy": lambda: hashlib.sha256(_HASHED),  # without the turn, as the engine's bulk work is
        "cached": lambda: visit(None),
        "known": lambda: visit(visited),
    }
    lookups, loop = ({scene: Histogram() for scene in works} for _ in range(2))
    for _turn in range(_TURNS):
        for scene, work in works.items():
            with _repeated(work):
                _look_up(engine, _blocks(names, seconds / _TURNS), lookups[scene])
                asyncio.run(_spin(_blocks(names, seconds / _TURNS), loop[scene]))
    return lookups, loop


@contextmanager
def _repeated(work: Callable[[], object] | None) -> Iterator[None]:
    """The work without pause in another thread, for the length of the context."""
    stop = Event()

    def repeat() -> None:
        while work and not stop.is_set():
            work()

    with ThreadPoolExecutor(1) as thread:
        repeating = thread.submit(repeat)
        try:
            yield
        finally:
            stop.set()
        repeating.result()


def _look_up(engine: Engine, blocks: Iterator[list[str]], counted: Histogram) -> None:
    instances, clock = engine.instances, perf_counter_ns
    for names in blocks:
        durations = []
        for name in names:
            began = clock()
            instances(name)
            durations.append(clock() - began)
        counted.record(durations)


async def _spin(blocks: Iterator[list[str]], counted: Histogram) -> None:
    clock = perf_counter_ns
    for names in blocks:
        durations = []
        for _ in names:
            began = clock()
            await asyncio.sleep(0)
            durations.append(clock() - began)
        counted.record(durations)


def _blocks(names: list[str], seconds: float) -> Iterator[list[str]]:
    """Names in blocks, over and over, until the time is up."""
    end, at = perf_counter() + seconds, 0
    while perf_counter() < end:
        yield names[at : at + _BLOCK]
        at = (at + _BLOCK) % len(names)
