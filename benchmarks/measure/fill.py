"""A table of a given size: how fast it fills, what it holds in memory, how fast it answers when it is full.

Seconds are of processor time, in which other programs of the machine do not show.
"""

import gc
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Final, TypeVar

import msgspec

from benchmarks.apart import Progress
from benchmarks.errors import TablesDifferError
from benchmarks.machine import forget_most_resident, most_resident_bytes, resident_bytes
from benchmarks.population import Population, instance_name, user_name
from benchmarks.tables import Kind, Table, new_table
from fanout import Engine

_STEPS: Final = 100
_BATCH: Final = 1_000
_SAMPLED_CHANNELS: Final = 20
_SAMPLED_USERS: Final = 50

T = TypeVar("T")


class FillSettings(msgspec.Struct, frozen=True):
    """Which table, and how full."""

    table: Kind
    population: Population
    lookups: int
    """How many names are looked up, in batches of a thousand, when the table is full."""


class Snapshot(msgspec.Struct, frozen=True):
    """A full table written to a file and read back: seconds by the clock on the wall, since the disk counts."""

    file_bytes: int
    written_seconds: float
    written_extra_bytes: int
    """Memory on top of the table while it is written, at most."""
    restored_seconds: float
    restored_bytes: int
    """Memory that the table takes while it is read back, at most."""


class Filled(msgspec.Struct, frozen=True):
    """What it took."""

    resident_bytes: int
    """Beyond the same process before the table was made."""
    structures: dict[str, int]
    """Bytes by structure, as the table counts them itself; only the engine does."""
    entries: int
    fill_seconds: float
    """In the table's own calls, names being ready."""
    names_seconds: float
    """Drawing the memberships and making their names."""
    lookups_per_second: float
    answers: str
    """A digest of what the table answered about some channels."""
    snapshot: Snapshot | None
    """Of the engine; the others have none."""


def fill(settings: FillSettings, progress: Progress) -> Filled:
    """Fill a table user by user, check it, and look channels up."""
    population = settings.population
    gc.disable()  # a table's objects are all alive: looking for cycles among them would only take time
    before = resident_bytes()
    table = new_table(settings.table)
    entries, fill_seconds, names_seconds = bring_online(table, population, progress)
    resident = resident_bytes() - before
    progress(1.0, "checking answers")
    check_against_population(table, population)
    return Filled(
        resident_bytes=resident,
        structures=structures_of(table),
        entries=entries,
        fill_seconds=fill_seconds,
        names_seconds=names_seconds,
        lookups_per_second=lookup_rate(table, population, settings.lookups),
        answers=digest_of_answers(table, population),
        snapshot=snapshot_of(table, population) if isinstance(table, Engine) else None,
    )


def bring_online(table: Table, population: Population, progress: Progress) -> tuple[int, float, float]:
    """All users, each on an instance: new pairs in all, seconds in the table, seconds that the names took."""
    entries, began, in_table = 0, process_time(), 0.0
    every = max(1, population.users // _STEPS)
    for user in range(population.users):
        names = population.names(user)
        started = process_time()
        entries += table.user_online(user_name(user), instance_name(user, population.instances), names)
        in_table += process_time() - started
        if user % every == 0:
            progress(user / population.users, "users come online")
    return entries, in_table, process_time() - began - in_table


def check_against_population(table: Table, population: Population) -> None:
    """Some users are found in the members of their channels.

    Raises:
        TablesDifferError: one is not.
    """
    for user in range(0, population.users, max(1, population.users // _SAMPLED_USERS)):
        name, instance = user_name(user), instance_name(user, population.instances)
        channel = next(reversed(population.names(user)), None)
        if channel is None:
            continue
        if name not in table.members(channel).get(instance, ()) or instance not in table.instances(channel):
            raise TablesDifferError(f"{name} is on {instance} and in {channel}, but the table does not say so")


def structures_of(table: Table) -> dict[str, int]:
    """What the engine says that it holds, by name."""
    if not isinstance(table, Engine):
        return {}
    return {name: held for name, held in table.stats().items() if name.startswith("bytes_")}


def snapshot_of(engine: Engine, population: Population) -> Snapshot:
    """Write it and read it back.

    Raises:
        TablesDifferError: what was read back answers otherwise.
    """
    with TemporaryDirectory() as folder:
        path = str(Path(folder) / "table")
        _, written_seconds, written_bytes = watched(lambda: engine.snapshot(path))
        restored, restored_seconds, restored_bytes = watched(lambda: Engine.restore(path))
        if digest_of_answers(restored, population) != digest_of_answers(engine, population):
            raise TablesDifferError("the table that was read back answers otherwise than the one that was written")
        return Snapshot(
            file_bytes=Path(path).stat().st_size,
            written_seconds=written_seconds,
            written_extra_bytes=written_bytes,
            restored_seconds=restored_seconds,
            restored_bytes=restored_bytes,
        )


def watched(call: Callable[[], T]) -> tuple[T, float, int]:
    """Do it once.

    Returns:
        What it returned; seconds; bytes that the process held at most beyond what it had before.
    """
    before = resident_bytes()
    forget_most_resident()
    began = perf_counter()
    returned = call()
    return returned, perf_counter() - began, most_resident_bytes() - before


def lookup_rate(table: Table, population: Population, lookups: int) -> float:
    """Channels looked up per second of one core, in batches of names that are made beforehand."""
    seconds = 0.0
    for names in batches_of_names(population, lookups):
        started = process_time()
        table.widths(names)
        seconds += process_time() - started
    return lookups // _BATCH * _BATCH / seconds


def batches_of_names(population: Population, lookups: int) -> Iterator[list[str]]:
    """Random channels, a thousand at a time."""
    for draw in range(lookups // _BATCH):
        yield population.some_names(min(_BATCH, population.channels), draw)


def digest_of_answers(table: Table, population: Population) -> str:
    """Equal for tables that answer equally about a sample of channels."""
    sample = population.some_names(min(_SAMPLED_CHANNELS, population.channels), draw=0)
    answers = [(name, sorted(table.instances(name)), sorted(table.members(name).items())) for name in sample]
    return hashlib.sha256(repr((answers, table.widths(sample))).encode()).hexdigest()
