"""The engine and its alternatives by one set of calls; how they are filled, and found to answer alike."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable
from io import BytesIO
from time import process_time
from typing import Final, Literal, TypeVar

import msgspec

from benchmarks.apart import Stages, run_apart
from benchmarks.baselines.cython_table import CythonTable
from benchmarks.baselines.python_table import PythonTable
from benchmarks.errors import TablesDifferError
from benchmarks.population import Population
from fanout import Engine, decode_batch

Kind = Literal["engine", "python", "cython"]
TITLES: Final[dict[Kind, str]] = {"engine": "engine", "python": "Python dicts", "cython": "Cython"}
KINDS: Final = tuple(TITLES)
EVENT_BYTES: Final = 300
"""Bytes of an event, where nothing else is said."""
REHEARSED: Final = Population(users=300, channels=3_000, memberships=30_000, instances=20)
"""The size that is measured in a rehearsal."""

Event = tuple[str, bytes]
"""A channel, and a JSON object."""
RoutingTable = Engine | PythonTable | CythonTable


class Measured(msgspec.Struct, frozen=True):
    """Figures of a table."""

    answers: str
    """A digest of what the table answered while it was measured."""


M = TypeVar("M", bound=Measured)


def new_table(kind: Kind) -> RoutingTable:
    """An empty table. The engine's batches are due at once, so that `drain` takes them all."""
    return PythonTable() if kind == "python" else CythonTable() if kind == "cython" else Engine(flush_interval=0.0)


def event(number: int, length: int = EVENT_BYTES) -> bytes:
    """A JSON object of a given length in bytes."""
    bare = json.dumps({"type": "message.new", "number": number, "text": ""}).encode()
    return bare[:-2] + b"x" * (length - len(bare)) + bare[-2:]


def bring_online(table: RoutingTable, population: Population) -> tuple[int, float]:
    """All users, each on an instance: new pairs in all, and the table's processor time.

    Raises:
        TablesDifferError: the table does not say of some user what it was told.
    """
    entries, in_table = 0, 0.0
    for user in range(population.users):
        names = population.names(user)
        started = process_time()
        entries += table.user_online(*population.place(user), names)
        in_table += process_time() - started
    _check(table, population)
    return entries, in_table


def _check(table: RoutingTable, population: Population) -> None:
    """Some users are found in the members of their channels."""
    for user in range(0, population.users, max(1, population.users // 50)):
        name, instance = population.place(user)
        for channel in population.names(user)[-1:]:
            if name not in table.members(channel).get(instance, ()) or instance not in table.instances(channel):
                raise TablesDifferError(f"{name} is on {instance} and in {channel}, but the table does not say so")


def digest(answers: object) -> str:
    """Equal for equal answers."""
    return hashlib.sha256(repr(answers).encode()).hexdigest()


def answers_of(table: RoutingTable, population: Population) -> str:
    """Equal for tables that answer equally about a sample of channels."""
    sample = population.some_names(20, draw=0)
    answers = [(name, sorted(table.instances(name)), sorted(table.members(name).items())) for name in sample]
    return digest((answers, table.widths(sample)))


def batches_of(table: RoutingTable, events: list[Event]) -> dict[str, list[bytes]]:
    """Route events, and read the batches back: the events for each instance."""
    table.route_many(events)
    received: defaultdict[str, list[bytes]] = defaultdict(list)
    for instance, payload in sorted(table.drain()):
        received[instance] += _read_batch(payload, of_engine=isinstance(table, Engine))
    return dict(received)


def _read_batch(payload: bytes, *, of_engine: bool) -> list[bytes]:
    """The events of a batch; the alternatives put the length of each before it, in four bytes."""
    if of_engine:
        return [event.event for event in decode_batch(payload)]
    stream, found = BytesIO(payload), []
    while prefix := stream.read(4):
        found.append(stream.read(int.from_bytes(prefix, "little")))
    return found


def measure_each(
    stages: Stages, what: str, measurement: Callable[..., M], rehearsal: tuple[object, ...], *settings: object
) -> dict[Kind, M]:
    """Measure each table in a process of its own, after a small rehearsal in which all must have answered alike.

    Raises:
        BenchError: one failed, or two answered differently, in the rehearsal or when they were measured.
    """
    stages("checking that all tables answer alike")
    _alike({kind: run_apart(measurement, kind, *rehearsal) for kind in KINDS})
    measured = {}
    for kind in KINDS:
        stages(f"{TITLES[kind]}, {what}")
        measured[kind] = run_apart(measurement, kind, *settings)
    return _alike(measured)


def _alike(measured: dict[Kind, M]) -> dict[Kind, M]:
    for kind, of in measured.items():
        if of.answers != measured["engine"].answers:
            raise TablesDifferError(f"{TITLES[kind]} and the engine answered differently, and are not compared")
    return measured
