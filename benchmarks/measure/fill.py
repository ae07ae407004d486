"""A table of a given size: how fast it fills, what it holds in memory, how fast it answers when it is full.

Seconds are of processor time, in which other programs of the machine do not show.
"""

import gc
import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Final, TypeVar

import msgspec

from benchmarks.apart import Progress, run_apart
from benchmarks.errors import TablesDifferError
from benchmarks.machine import resident_bytes, watched
from benchmarks.measure.routing import EVENT_BYTES, EVENTS_PER_CALL, Event, event
from benchmarks.population import Population, instance_name, user_name
from benchmarks.tables import Kind, Table, new_table
from fanout import Engine

_STEPS: Final = 100
_BATCH: Final = 1_000
_SAMPLED_USERS: Final = 50
_SAMPLED_CHANNELS: Final = 20

T = TypeVar("T")


class Snapshot(msgspec.Struct, frozen=True):
    """A full table written to a file and read back: seconds by the clock on the wall, since the disk counts."""

    file_bytes: int
    written_seconds: float
    written_extra_bytes: int
    """Memory beyond the table while it is written, at most."""
    restored_seconds: float
    restored_bytes: int
    """Memory beyond the empty process while it is read back, at most."""


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


class Restored(msgspec.Struct, frozen=True):
    """What reading a snapshot back took, by the clock on the wall."""

    seconds: float
    most_bytes: int
    answers: str


def fill(progress: Progress, kind: Kind, population: Population, lookups: int, events: int) -> Filled:
    """Fill a table user by user, check it, and look channels up.

    Args:
        progress: told how far it is.
        kind: which table.
        population: what it holds.
        lookups: how many names are looked up, in batches of a thousand, when the table is full.
        events: how many events are routed into batches when the table is full; only the engine does.
    """
    gc.disable()  # a table's objects are all alive: looking for cycles among them would only take time
    before = resident_bytes()
    table = new_table(kind)
    entries, fill_seconds, names_seconds = bring_online(table, population, progress)
    resident = resident_bytes() - before
    progress(1.0, "answers, lookups, events")
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
        snapshot=snapshot_of(engine, population, progress) if engine else None,
    )


def restore(progress: Progress, path: str, population: Population) -> Restored:
    """Read a snapshot back in a process of its own, as a worker does that begins with it."""
    progress(0.0, "reading the snapshot back")
    engines: list[Engine] = []
    seconds, most_bytes = watched(lambda: engines.append(Engine.restore(path)))
    return Restored(seconds, most_bytes, digest_of_answers(engines[0], population))


def bring_online(table: Table, population: Population, progress: Progress) -> tuple[int, float, float]:
    """All users, each on an instance: new pairs in all, seconds in the table, seconds that the names took."""
    entries, began, in_table = 0, process_time(), 0.0
    step = max(1, population.users // _STEPS)
    for user in range(population.users):
        names = population.names(user)
        started = process_time()
        entries += table.user_online(user_name(user), instance_name(user, population.instances), names)
        in_table += process_time() - started
        if user % step == 0:
            progress(user / population.users, "users come online")
    return entries, in_table, process_time() - began - in_table


def check_against_population(table: Table, population: Population) -> None:
    """Some users are found in the members of their channels.

    Raises:
        TablesDifferError: one is not.
    """
    for user in range(0, population.users, max(1, population.users // _SAMPLED_USERS)):
        name, instance = user_name(user), instance_name(user, population.instances)
        for channel in population.names(user)[-1:]:
            if name not in table.members(channel).get(instance, ()) or instance not in table.instances(channel):
                raise TablesDifferError(f"{name} is on {instance} and in {channel}, but the table does not say so")


def digest_of_answers(table: Table, population: Population) -> str:
    """Equal for tables that answer equally about a sample of channels."""
    sample = population.some_names(min(_SAMPLED_CHANNELS, population.channels), draw=0)
    answers = [(name, sorted(table.instances(name)), sorted(table.members(name).items())) for name in sample]
    return hashlib.sha256(repr((answers, table.widths(sample))).encode()).hexdigest()


def snapshot_of(engine: Engine, population: Population, progress: Progress) -> Snapshot:
    """Write the table, and read it back in another process.

    Raises:
        TablesDifferError: what was read back answers otherwise.
    """
    with TemporaryDirectory() as folder:
        path = str(Path(folder) / "table")
        written_seconds, written_bytes = watched(lambda: engine.snapshot(path))
        restored = run_apart(lambda _, what: progress(1.0, what), restore, path, population)
        if restored.answers != digest_of_answers(engine, population):
            raise TablesDifferError("the table that was read back answers otherwise than the one that was written")
        file_bytes = Path(path).stat().st_size
    return Snapshot(file_bytes, written_seconds, written_bytes, restored.seconds, restored.most_bytes)


def lookup_rate(table: Table, population: Population, lookups: int) -> float:
    """Channels looked up per second of one core, in batches of names that are made beforehand."""
    return _rate(table.widths, (population.some_names(*call) for call in _calls(population, lookups, _BATCH)))


def event_rate(table: Table, population: Population, events: int) -> float:
    """Events routed into batches per second of one core, the batches being taken out after each call."""

    def route(chosen: list[Event]) -> None:
        table.route_many(chosen)
        table.drain()

    return _rate(route, (_events(population, *call) for call in _calls(population, events, EVENTS_PER_CALL)))


def _rate(work: Callable[[list[T]], object], calls: Iterable[list[T]]) -> float:
    """Things done per second of one core; what makes them is not in the time."""
    done, seconds = 0, 0.0
    for things in calls:
        started = process_time()
        work(things)
        seconds += process_time() - started
        done += len(things)
    return done / seconds


def _calls(population: Population, wanted: int, each: int) -> Iterator[tuple[int, int]]:
    """How many random channels each call takes, and which draw of them it is."""
    for draw in range(max(1, wanted // each)):
        yield min(each, population.channels), draw


def _events(population: Population, count: int, draw: int) -> list[Event]:
    """One for each of some random channels."""
    return [(name, event(number, EVENT_BYTES)) for number, name in enumerate(population.some_names(count, draw))]
