"""A table of a given size: how fast it fills, what it holds in memory, how fast it answers when it is full.

Seconds are of processor time, in which other programs of the machine do not show.
"""

import gc
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Final, TypeVar

import msgspec
from msgspec.structs import replace

from benchmarks.apart import run_apart
from benchmarks.errors import TablesDifferError
from benchmarks.machine import resident_bytes, watched
from benchmarks.population import Population
from benchmarks.tables import Event, Kind, Measured, RoutingTable, answers_of, bring_online, digest, event, new_table
from fanout import Engine

NAMES_PER_CALL: Final = 1_000
EVENTS_PER_CALL: Final = 500

T = TypeVar("T")


class Filled(Measured, frozen=True):
    """Time and memory of a table; fields with a default are the engine's alone. Snapshots are timed by the clock."""

    resident_bytes: int
    """Beyond the same process before the table was made."""
    entries: int
    fill_seconds: float
    """In the table's own calls, names being ready."""
    lookups_per_second: float
    events_per_second: float = 0.0
    """Routed into the batch of each instance, and the batches taken out."""
    structures: dict[str, int] = msgspec.field(default_factory=dict)
    """Bytes by structure, as the engine counts them."""
    snapshot_bytes: int = 0
    written_seconds: float = 0.0
    written_extra_bytes: int = 0
    """Memory beyond the table while the snapshot is written, at most."""
    restored_seconds: float = 0.0
    restored_bytes: int = 0
    """Memory beyond the empty process while it is restored, at most."""


def fill(kind: Kind, population: Population, lookups: int, events: int) -> Filled:
    """Fill a table user by user, and look up names; the engine also routes events and writes a snapshot."""
    gc.disable()  # a table's objects are all alive: looking for cycles among them would only take time
    before = resident_bytes()
    table = new_table(kind)
    entries, fill_seconds = bring_online(table, population)
    resident = resident_bytes() - before
    rate, answers = lookup_rate(table, population, lookups), answers_of(table, population)
    filled = Filled(digest((entries, answers)), resident, entries, fill_seconds, rate)
    if not isinstance(table, Engine):
        return filled
    structures = {name: held for name, held in table.stats().items() if name.startswith("bytes_")}
    filled = replace(filled, structures=structures, events_per_second=event_rate(table, population, events))
    with TemporaryDirectory() as folder:
        path = Path(folder, "table")
        written_seconds, written_bytes = watched(lambda: table.snapshot(str(path)))
        restored_seconds, restored_bytes, restored = run_apart(_restore, str(path), population)
        if restored != answers:
            raise TablesDifferError("the restored table answers otherwise than the one that was written")
        return replace(
            filled,
            snapshot_bytes=path.stat().st_size,
            written_seconds=written_seconds,
            written_extra_bytes=written_bytes,
            restored_seconds=restored_seconds,
            restored_bytes=restored_bytes,
        )


def _restore(path: str, population: Population) -> tuple[float, int, str]:
    engines: list[Engine] = []
    seconds, most_bytes = watched(lambda: engines.append(Engine.restore(path)))
    return seconds, most_bytes, answers_of(engines[0], population)


def lookup_rate(table: RoutingTable, population: Population, lookups: int) -> float:
    """Channels looked up per second of one core, in batches of names that are made beforehand."""
    draws = range(max(1, lookups // NAMES_PER_CALL))
    return _rate(table.widths, (population.some_names(NAMES_PER_CALL, draw) for draw in draws))


def event_rate(table: RoutingTable, population: Population, events: int) -> float:
    """Events routed into batches per second of one core, the batches being taken out after each call."""
    draws = range(max(1, events // EVENTS_PER_CALL))
    names = (population.some_names(EVENTS_PER_CALL, draw) for draw in draws)
    return _rate(lambda chosen: route_and_drain(table, chosen), map(events_to, names))


def events_to(names: Iterable[str]) -> list[Event]:
    """An event to each channel."""
    return [(name, event(number)) for number, name in enumerate(names)]


def route_and_drain(table: RoutingTable, events: list[Event]) -> None:
    """Put events into batches, and take the batches out."""
    table.route_many(events)
    table.drain()


def _rate(work: Callable[[list[T]], object], calls: Iterable[list[T]]) -> float:
    """Things done per second of one core; the time to make them is not counted."""
    done, seconds = 0, 0.0
    for things in calls:
        started = process_time()
        work(things)
        seconds += process_time() - started
        done += len(things)
    return done / seconds
