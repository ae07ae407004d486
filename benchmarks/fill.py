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

from benchmarks.apart import Progress, run_apart
from benchmarks.errors import TablesDifferError
from benchmarks.machine import resident_bytes, watched
from benchmarks.population import Population
from benchmarks.tables import Kind, Table, bring_online, check_against_population, digest_of_answers, event, new_table
from fanout import Engine

NAMES_PER_CALL: Final = 1_000
EVENTS_PER_CALL: Final = 500

T = TypeVar("T")


class Snapshot(msgspec.Struct, frozen=True):
    """A full table written to a file and restored: seconds by the clock on the wall, since the disk counts."""

    file_bytes: int
    written_seconds: float
    written_extra_bytes: int
    """Memory beyond the table while it is written, at most."""
    restored_seconds: float
    restored_bytes: int
    """Memory beyond the empty process while it is restored, at most."""


class Filled(msgspec.Struct, frozen=True):
    """What a table took."""

    resident_bytes: int
    """Beyond the same process before the table was made."""
    structures: dict[str, int]
    """Bytes by structure, as the engine counts them; empty for the other tables."""
    entries: int
    fill_seconds: float
    """In the table's own calls, names being ready."""
    names_seconds: float
    """Drawing the memberships and making their names."""
    lookups_per_second: float
    answers: str
    """A digest of what the table answered about some channels."""
    events_per_second: float | None = None
    """Routed into the batch of each instance, and the batches taken out; of the engine."""
    snapshot: Snapshot | None = None
    """Of the engine."""


def fill(progress: Progress, kind: Kind, population: Population, lookups: int, events: int) -> Filled:
    """Fill a table user by user, check it, and use it.

    Args:
        progress: told when the snapshot is restored.
        kind: which table.
        population: what it holds.
        lookups: how many names are looked up when the table is full.
        events: how many events the engine routes into batches when it is full.
    """
    gc.disable()  # a table's objects are all alive: looking for cycles among them would only take time
    before = resident_bytes()
    table = new_table(kind)
    entries, fill_seconds, names_seconds = bring_online(table, population)
    resident = resident_bytes() - before
    check_against_population(table, population)
    engine = table if isinstance(table, Engine) else None
    return Filled(
        resident_bytes=resident,
        structures={name: held for name, held in engine.stats().items() if name[:6] == "bytes_"} if engine else {},
        entries=entries,
        fill_seconds=fill_seconds,
        names_seconds=names_seconds,
        lookups_per_second=lookup_rate(table, population, lookups),
        answers=digest_of_answers(table, population),
        events_per_second=event_rate(engine, population, events) if engine else None,
        snapshot=_snapshot(engine, population, progress) if engine else None,
    )


def lookup_rate(table: Table, population: Population, lookups: int) -> float:
    """Channels looked up per second of one core, in batches of names that are made beforehand."""
    draws = range(max(1, lookups // NAMES_PER_CALL))
    return _rate(table.widths, (population.some_names(NAMES_PER_CALL, draw) for draw in draws))


def event_rate(table: Table, population: Population, events: int) -> float:
    """Events routed into batches per second of one core, the batches being taken out after each call."""

    def route(names: list[tuple[str, bytes]]) -> None:
        table.route_many(names)
        table.drain()

    draws = range(max(1, events // EVENTS_PER_CALL))
    names = (population.some_names(EVENTS_PER_CALL, draw) for draw in draws)
    return _rate(route, ([(name, event(number)) for number, name in enumerate(chosen)] for chosen in names))


def _rate(work: Callable[[list[T]], object], calls: Iterable[list[T]]) -> float:
    """Things done per second of one core; the time to make them is not counted."""
    done, seconds = 0, 0.0
    for things in calls:
        started = process_time()
        work(things)
        seconds += process_time() - started
        done += len(things)
    return done / seconds


def _snapshot(engine: Engine, population: Population, progress: Progress) -> Snapshot:
    """Write the table, and restore it in another process."""
    with TemporaryDirectory() as folder:
        path = str(Path(folder) / "table")
        written_seconds, written_bytes = watched(lambda: engine.snapshot(path))
        seconds, most_bytes, answers = run_apart(progress, _restore, path, population)
        if answers != digest_of_answers(engine, population):
            raise TablesDifferError("the restored table answers otherwise than the one that was written")
        return Snapshot(Path(path).stat().st_size, written_seconds, written_bytes, seconds, most_bytes)


def _restore(_: Progress, path: str, population: Population) -> tuple[float, int, str]:
    engines: list[Engine] = []
    seconds, most_bytes = watched(lambda: engines.append(Engine.restore(path)))
    return seconds, most_bytes, digest_of_answers(engines[0], population)
