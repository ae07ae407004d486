"""The engine and its alternatives by one set of calls; how they are filled, and found to answer alike."""

import hashlib
import json
from collections import defaultdict
from io import BytesIO
from time import process_time
from typing import Final, Literal

from benchmarks.apart import Progress, Stages, run_apart
from benchmarks.baselines.cython_table import CythonTable
from benchmarks.baselines.python_table import PythonTable
from benchmarks.errors import TablesDifferError
from benchmarks.population import Population, instance_name, user_name
from fanout import Engine, decode_batch

Kind = Literal["engine", "python", "cython"]
KINDS: Final[tuple[Kind, ...]] = ("engine", "python", "cython")
TITLES: Final[dict[Kind, str]] = {"engine": "engine", "python": "Python dicts", "cython": "Cython"}
EVENT_BYTES: Final = 300
"""Of an event, where nothing else is said."""
_COMPARED: Final = Population(users=300, channels=3_000, memberships=30_000, instances=20)

Event = tuple[str, bytes]
"""A channel, and a JSON object."""


Table = Engine | PythonTable | CythonTable


def new_table(kind: Kind) -> Table:
    """An empty table. The engine's batches are due at once, so that `drain` takes them all."""
    return PythonTable() if kind == "python" else CythonTable() if kind == "cython" else Engine(flush_interval=0.0)


def event(number: int, length: int = EVENT_BYTES) -> bytes:
    """A JSON object of a given length in bytes."""
    bare = json.dumps({"type": "message.new", "number": number, "text": ""}).encode()
    return bare[:-2] + b"x" * (length - len(bare)) + bare[-2:]


def bring_online(table: Table, population: Population) -> tuple[int, float]:
    """All users, each on an instance: new pairs in all, and the table's processor time."""
    entries, in_table = 0, 0.0
    for user in range(population.users):
        names = population.names(user)
        started = process_time()
        entries += table.user_online(user_name(user), instance_name(user, population.instances), names)
        in_table += process_time() - started
    return entries, in_table


def check_against_population(table: Table, population: Population) -> None:
    """Some users are found in the members of their channels.

    Raises:
        TablesDifferError: one is not.
    """
    for user in range(0, population.users, max(1, population.users // 50)):
        name, instance = user_name(user), instance_name(user, population.instances)
        for channel in population.names(user)[-1:]:
            if name not in table.members(channel).get(instance, ()) or instance not in table.instances(channel):
                raise TablesDifferError(f"{name} is on {instance} and in {channel}, but the table does not say so")


def digest_of_answers(table: Table, population: Population) -> str:
    """Equal for tables that answer equally about a sample of channels."""
    sample = population.some_names(20, draw=0)
    answers = [(name, sorted(table.instances(name)), sorted(table.members(name).items())) for name in sample]
    return hashlib.sha256(repr((answers, table.widths(sample))).encode()).hexdigest()


def batches_of(table: Table, events: list[Event]) -> dict[str, list[bytes]]:
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


def agree_first(stages: Stages) -> None:
    """Compare the answers of all tables, before speeds are compared.

    Raises:
        BenchError: the engine and an alternative differ.
    """
    run_apart(stages("checking that all tables answer alike"), agreement, _COMPARED)


def agreement(_: Progress, population: Population) -> int:
    """Do the same to all tables, and compare: how many answers were compared.

    Raises:
        TablesDifferError: two answered differently.
    """
    answers = {kind: _answers(new_table(kind), population) for kind in KINDS}
    for kind in KINDS:
        for mine, engines in zip(answers[kind], answers["engine"], strict=True):
            if mine != engines:
                raise TablesDifferError(f"{TITLES[kind]} and the engine differ: {mine!r:.200} and {engines!r:.200}")
    return len(answers["engine"])


def _answers(table: Table, population: Population) -> list[object]:
    """What every call returned, and what the table holds at the beginning, in the middle, and at the end."""
    answers: list[object] = [bring_online(table, population)[0]]
    check_against_population(table, population)
    events = [(name, event(number, 100)) for number, name in enumerate(population.some_names(100, draw=1))]
    leaving = [(user_name(user), instance_name(user, population.instances)) for user in range(0, population.users, 3)]
    answers += [digest_of_answers(table, population), batches_of(table, events)]
    answers += [table.user_offline(*who) for who in leaving]
    answers += [digest_of_answers(table, population), batches_of(table, events)]
    answers += [table.user_online(*who) for who in leaving]
    return [*answers, digest_of_answers(table, population)]
