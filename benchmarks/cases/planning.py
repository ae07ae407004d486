"""The hardware that a deployment of the measured size takes, and one of another size."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from benchmarks import units
from benchmarks.costs import PROCESS_BYTES
from benchmarks.errors import NumberError
from benchmarks.fill import Filled
from benchmarks.population import Population
from benchmarks.report import Cell, Figure, Row, Table, Unit
from benchmarks.tables import EVENT_BYTES

_SPARE: Final = 1.25
_TELLING: Final = 1_000_000
"""Memberships: of fewer, most of the memory is what a table takes however little it holds."""
_HEADROOM: Final = 2
"""Half of each core is left free: bursts and reconnects come on top."""
_LOST: Final = 2
"""Workers beyond those that carry the load: one may be lost, and one be replaced meanwhile."""
_REPLICAS: Final = 3
_DAY_S: Final = 86_400
_UNITS: Final[tuple[Unit, ...]] = ("count", "bytes", "bytes", "bytes/s")


class Costs(msgspec.Struct, frozen=True):
    """The figures of other benchmarks' reports, in seconds of processor time; None: none that was given does."""

    instance_bytes_per_connection: float | None = None
    instance_s_per_delivery: float | None = None
    instance_s_per_connection: float | None = None
    worker_s_per_message: float | None = None
    nats_s_per_message: float | None = None
    redis_s_per_message: float | None = None
    gateway_s_per_message: float | None = None


class _Figures(msgspec.Struct):
    planning: Costs = Costs()


class _Report(msgspec.Struct):
    figures: _Figures


def costs_of(paths: Iterable[str]) -> Costs:
    """Read the figures of other benchmarks' reports; a `NumberError` if a file is none."""
    costs = Costs()
    for path in paths:
        try:
            report = msgspec.json.decode(Path(path).read_bytes(), type=_Report)
        except (OSError, msgspec.DecodeError) as error:
            raise NumberError(f"--figures {path} is not a file that a benchmark wrote by --json: {error}") from error
        known = {name: value for name, value in msgspec.structs.asdict(report.figures.planning).items() if value}
        costs = msgspec.structs.replace(costs, **known)
    return costs


def tells_of_memory(population: Population) -> bool:
    """Whether a table of this size says anything about the memory of a larger one."""
    return population.memberships >= _TELLING


def ram_bytes(whole: Filled) -> float:
    """To plan for, of each process that holds the table."""
    return _most_bytes(whole) * _SPARE + PROCESS_BYTES


_Part = tuple[str, int, tuple[float | None, ...], str]
"""A kind of process: its name, how many, their cores, RAM, disk and bandwidth together (None: not measured), a note."""


def plan(population: Population, messages: float, whole: Filled, costs: Costs) -> Table:
    """How many of each part, and what they take together."""
    readers, width = population.memberships / population.channels, whole.entries / population.channels
    parts = [
        _workers(messages, width, whole, costs),
        _instances(population, messages, width, whole, costs),
        *_others(messages, width, costs),
    ]
    rows = [
        Row(name, [Figure(number, "number"), *map(_sum, _UNITS, ([of] for of in taken))], note)
        for name, number, taken, note in parts
    ]
    number = Figure(sum(number for _, number, *_ in parts), "number")
    sums = map(_sum, _UNITS, zip(*(taken for _, _, taken, _ in parts), strict=True))
    total = "Without what was not measured, and without the operating systems: one core more for each machine."
    text = (
        f"{population.shape()}, {messages:,.0f} messages of {EVENT_BYTES} bytes a second, each to "
        f"{units.digits(readers)} readers on {units.digits(width)} instances on average. What this run did not measure "
        "says so, and --figures FILE takes it from a report that fanout bench sockets, pipeline or accepting wrote "
        "with --json. Half of each core is left free. Bandwidth is in and out, of the events alone, by calculation; "
        "the disk of the log and of the store is for each day that is kept."
    )
    columns = ["how many", "cores", "RAM", "disk", "bandwidth"]
    return Table("What to plan for", text, columns, [*rows, Row("total", [number, *sums], total)])


def _sum(unit: Unit, values: Sequence[float | None]) -> Cell:
    known = [value for value in values if value is not None]
    if not known:
        return "not measured here"
    total = Figure(sum(known), unit)
    if len(known) < len(values):
        return f"at least {total}"
    return total if total.value else "none"


def _cores(messages: float, each_s: float | None) -> float | None:
    return None if each_s is None else _HEADROOM * messages * each_s


def _workers(messages: float, width: float, whole: Filled, costs: Costs) -> _Part:
    each_s = costs.worker_s_per_message or 1 / whole.events_per_second
    busy = max(1, math.ceil(_HEADROOM * messages * each_s))
    alone = "" if costs.worker_s_per_message else " by the engine alone, so fewer (fanout bench pipeline)"
    note = (
        f"fanout serve fanout: {busy} for the load, of which a core carries {units.count(1 / each_s)} events/s{alone}; "
        f"one may be lost, and one be replaced meanwhile. RAM of each: {units.size(ram_bytes(whole))}, of which the "
        f"table is {units.size(whole.resident_bytes)}, at most {units.size(_most_bytes(whole))} while a snapshot is "
        f"written or restored; then a quarter to spare and {units.size(PROCESS_BYTES)} for Python. Disk: twice the "
        "snapshot, since the new one is written beside the old one."
    )
    number = busy + _LOST
    disk = number * 2 * whole.snapshot_bytes
    taken = (number, number * ram_bytes(whole), disk, messages * EVENT_BYTES * (1 + width))
    return ("fan-out workers", number, taken, note)


def _instances(population: Population, messages: float, width: float, whole: Filled, costs: Costs) -> _Part:
    number, readers = population.instances, population.memberships / population.channels
    connection, delivery = costs.instance_bytes_per_connection, costs.instance_s_per_delivery
    ram, estimate = None, "not estimated"
    if tells_of_memory(population):
        table = _instance_bytes(population, whole)
        estimate = f"about {units.size(table)} each, an estimate: twice the formula below"
        ram = None if connection is None else number * table + population.users * connection
    note = (
        f"fanout serve notification, one core each at most. Table of its {units.digits(population.users / number)} "
        f"users, and Python: {estimate}. Connections and deliveries: {_source('sockets', connection, delivery)}."
    )
    if costs.instance_s_per_connection:
        seconds = units.duration(population.users * costs.instance_s_per_connection)
        note += f" If all reconnect, that takes {seconds} of processor time."
    taken = (_cores(messages * readers, delivery), ram, 0, messages * EVENT_BYTES * (width + readers))
    return ("notification instances", number, taken, note)


def _others(messages: float, width: float, costs: Costs) -> list[_Part]:
    """Those of which other benchmarks measure processor time at most; how many there are is a rule of thumb."""
    each = (costs.gateway_s_per_message, costs.nats_s_per_message, costs.redis_s_per_message)
    gateway, nats, redis = (_cores(messages, of) for of in each)
    of_gateway, of_nats, of_redis = map(_source, ("accepting", "pipeline", "pipeline"), each)
    stored = messages * EVENT_BYTES
    daily, of_log = stored * _DAY_S, stored * (_REPLICAS + 2 + 2 * width)
    replicas = f"Replicas, each with the whole log. Cores: {of_nats}."
    return [
        ("gateways", 2, (gateway, None, 0, 2 * stored), f"One may be lost. Cores: {of_gateway}."),
        ("message writers", 2, (None, None, daily, 2 * stored), "One may be lost. The disk is the store's."),
        ("nats-server", _REPLICAS, (nats, None, _REPLICAS * daily, of_log), replicas),
        ("redis-server", 2, (redis, None, None, 0), f"One and its replica. Cores: {of_redis}."),
    ]


def _source(case: str, *known: float | None) -> str:
    return "from --figures" if None not in known else f"not measured here (fanout bench {case})"


def _formula(population: Population, whole: Filled) -> tuple[float, float]:
    """Bytes of a user and of a channel, each counted once."""
    lists = whole.structures["bytes_memberships"] + whole.structures["bytes_cache"]
    return lists / population.users, (whole.resident_bytes - lists) / population.channels


def _instance_bytes(population: Population, whole: Filled) -> float:
    """Twice what the formula says of so small a table, which is too little, but no more than the whole; the process."""
    user, channel = _formula(population, whole)
    channels = min(population.channels, population.memberships / population.instances)
    table = 2 * (user * population.users / population.instances + channel * channels)
    return min(table, whole.resident_bytes) + PROCESS_BYTES


def _most_bytes(whole: Filled) -> int:
    """The bytes of the table, while a snapshot is written, and while it is restored."""
    return max(whole.resident_bytes + whole.written_extra_bytes, whole.restored_bytes)


def another_deployment(population: Population, whole: Filled) -> Table:
    """How to come from this size to others; of a table that is too small, that it cannot be done."""
    title = "Memory of another deployment"
    if not tells_of_memory(population):
        return Table(title, f"There is a formula from {_TELLING:,} memberships on: so small a table says nothing.")
    each = [*_formula(population, whole), whole.resident_bytes / population.memberships]
    user, channel, _ = map(units.size, each)
    on_top = units.digits(_most_bytes(whole) / whole.resident_bytes)
    text = (
        f"table = users online x {user} + channels x {channel}. This is the table, and not the RAM to plan for, which "
        f"is RAM = table x {on_top} x {_SPARE} + {units.size(PROCESS_BYTES)}: with a snapshot that is written or "
        "restored, a quarter to spare, and Python. The formula holds from half to twice this size where a user has as "
        "many channels and a channel as many members; it says too little for much smaller tables, and too much for "
        "much larger ones."
    )
    notes = {
        "a user": "The user's list of channels, and an entry in the cache.",
        "a channel": "Its name, where its readers are, and its share of the rest.",
        "or: a membership": "All of the memory shared out over the memberships: for this density alone.",
    }
    rows = [Row(name, [Figure(of, "bytes")], note) for (name, note), of in zip(notes.items(), each, strict=True)]
    return Table(title, text, ["memory"], rows)
