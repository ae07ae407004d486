"""What hardware a deployment of the measured size takes, and one of another size."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from benchmarks import units
from benchmarks.costs import PROCESS_BYTES
from benchmarks.errors import NumbersError
from benchmarks.measure.fill import Filled
from benchmarks.measure.routing import EVENT_BYTES
from benchmarks.population import Population
from benchmarks.report import Cell, Figure, Row, Table, Unit

_SPARE: Final = 1.25
_TELLING: Final = 1_000_000
"""Memberships: of fewer, most of the memory is what a table takes however little it holds."""
_HEADROOM: Final = 2
"""Half of each core is left free: bursts and reconnects come on top."""
_LOST: Final = 2
"""Workers beyond those that carry the load: one may be lost, and one be replaced meanwhile."""
_PAIR: Final = 2
"""So that one may be lost."""
_REPLICAS: Final = 3
_DAY_S: Final = 86_400
_ANOTHER: Final = "Memory of another deployment"


class Costs(msgspec.Struct, frozen=True):
    """What reports of other benchmarks say; None: none of those that were given does.

    Seconds are processor time.
    """

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
    name: str
    figures: _Figures


def costs_of(paths: Iterable[str]) -> Costs:
    """Read the figures of other benchmarks' reports.

    Raises:
        NumbersError: a file is no report of a benchmark.
    """
    costs = Costs()
    for path in paths:
        try:
            report = msgspec.json.decode(Path(path).read_bytes(), type=_Report)
        except (OSError, msgspec.DecodeError) as error:
            raise NumbersError(f"--figures {path} is not a file that a benchmark wrote by --json: {error}") from error
        known = {name: value for name, value in msgspec.structs.asdict(report.figures.planning).items() if value}
        costs = msgspec.structs.replace(costs, **known)
    return costs


def tells_of_memory(population: Population) -> bool:
    """Whether a table of this size says anything about the memory of a larger one."""
    return population.memberships >= _TELLING


def ram_bytes(whole: Filled) -> float:
    """To plan for, of each process that holds the table."""
    return _most_bytes(whole) * _SPARE + PROCESS_BYTES


class _Part(NamedTuple):
    """One kind of process: how many, and what they take together; None: not measured."""

    name: str
    number: int
    cores: float | None
    ram: float | None
    disk: float | None
    bandwidth: float
    note: str


def plan(population: Population, messages: float, whole: Filled, costs: Costs) -> Table:
    """How many of each part, and what they take together."""
    parts = [
        _workers(population, messages, whole, costs),
        _instances(population, messages, whole, costs),
        *_others(messages, whole.entries / population.channels, costs),
    ]
    total = "Without what was not measured, and without the operating systems: one core more for each machine."
    rows = [_row(part.name, [part], part.note) for part in parts]
    return Table(
        "What to plan for",
        f"{population.shape()}, {messages:,.0f} messages of {EVENT_BYTES} bytes a second, each to "
        f"{units.digits(population.memberships / population.channels)} readers on "
        f"{units.digits(whole.entries / population.channels)} instances on average. This run measured the workers' "
        "memory and the engine's events; what it did not measure says so, and --figures FILE takes it from a report "
        "that fanout bench sockets or pipeline wrote with --json on such a machine. Half of each core is left free. "
        "Bandwidth is in and out, of the events alone, by calculation; the disk of the log and of the store is for "
        "each day that is kept.",
        ["how many", "cores", "RAM", "disk", "bandwidth"],
        [*rows, _row("total", parts, total)],
    )


def _row(name: str, parts: list[_Part], note: str) -> Row:
    cells = [
        _sum("count", [part.cores for part in parts]),
        _sum("bytes", [part.ram for part in parts]),
        _sum("bytes", [part.disk for part in parts]),
        _sum("bytes/s", [part.bandwidth for part in parts]),
    ]
    return Row(name, [Figure(sum(part.number for part in parts), "number"), *cells], note)


def _sum(unit: Unit, values: Sequence[float | None]) -> Cell:
    known = [value for value in values if value is not None]
    if not known:
        return "not measured here"
    total = Figure(sum(known), unit)
    if len(known) < len(values):
        return f"at least {total}"
    return total if total.value else "none"


def _workers(population: Population, messages: float, whole: Filled, costs: Costs) -> _Part:
    each_s = costs.worker_s_per_message or 1 / (whole.events_per_second or 1)
    busy = max(1, math.ceil(_HEADROOM * messages * each_s))
    number, width = busy + _LOST, whole.entries / population.channels
    alone = "" if costs.worker_s_per_message else " by the engine alone, so fewer (fanout bench pipeline)"
    note = (
        f"fanout serve fanout: {busy} for the load, of which a core carries {units.count(1 / each_s)} "
        f"events/s{alone}; one may be lost, and one be replaced meanwhile. RAM of each: "
        f"{units.size(ram_bytes(whole))}, of which the table is {units.size(whole.resident_bytes)}, at most "
        f"{units.size(_most_bytes(whole))} while a snapshot is written or restored; then a quarter to spare and "
        f"{units.size(PROCESS_BYTES)} for Python. Disk: twice the snapshot, since the new one is written beside the "
        "old one."
    )
    disk = number * 2 * whole.snapshot.file_bytes if whole.snapshot else None
    bandwidth = messages * EVENT_BYTES * (1 + width)
    return _Part("fan-out workers", number, number, number * ram_bytes(whole), disk, bandwidth, note)


def _instances(population: Population, messages: float, whole: Filled, costs: Costs) -> _Part:
    number, readers = population.instances, population.memberships / population.channels
    table = _instance_bytes(population, whole) if tells_of_memory(population) else None
    connection, delivery = costs.instance_bytes_per_connection, costs.instance_s_per_delivery
    ram = None if connection is None or table is None else number * table + population.users * connection
    cores = None if delivery is None else _HEADROOM * messages * readers * delivery
    estimate = f"about {units.size(table)} each, an estimate: twice the formula below" if table else "not estimated"
    note = (
        f"fanout serve notification, one core each at most. Table of its {units.digits(population.users / number)} "
        f"users, and Python: {estimate}. Connections and deliveries: {_source('sockets', connection, delivery)}."
    )
    if costs.instance_s_per_connection:
        seconds = units.duration(population.users * costs.instance_s_per_connection)
        note += f" If all reconnect, that takes {seconds} of processor time."
    bandwidth = messages * EVENT_BYTES * (whole.entries / population.channels + readers)
    return _Part("notification instances", number, cores, ram, 0, bandwidth, note)


def _others(messages: float, width: float, costs: Costs) -> list[_Part]:
    """Those of which other benchmarks measure processor time at most; how many there are is a rule of thumb."""
    stored = messages * EVENT_BYTES
    daily = stored * _DAY_S

    def cores(each_s: float | None) -> float | None:
        return None if each_s is None else _HEADROOM * messages * each_s

    gateway, nats, redis = costs.gateway_s_per_message, costs.nats_s_per_message, costs.redis_s_per_message
    of_nats = stored * (_REPLICAS + 2 + 2 * width)
    return [
        _Part("gateways", _PAIR, cores(gateway), None, 0, 2 * stored, f"Cores: {_source('accepting', gateway)}."),
        _Part("message writers", _PAIR, None, None, daily, 2 * stored, "The disk is the store's."),
        _Part(
            "nats-server",
            _REPLICAS,
            cores(nats),
            None,
            _REPLICAS * daily,
            of_nats,
            f"Replicas, each with the whole log. Cores: {_source('pipeline', nats)}.",
        ),
        _Part(
            "redis-server",
            _PAIR,
            cores(redis),
            None,
            None,
            0,
            f"One and its replica. Cores: {_source('pipeline', redis)}.",
        ),
    ]


def _source(case: str, *known: float | None) -> str:
    return "from --figures" if None not in known else f"not measured here (fanout bench {case})"


class _Formula(NamedTuple):
    """Bytes of a table, each counted once."""

    user: float
    channel: float

    def of(self, users: float, channels: float) -> float:
        return self.user * users + self.channel * channels


def _formula(population: Population, whole: Filled) -> _Formula:
    lists = whole.structures["bytes_memberships"] + whole.structures["bytes_cache"]
    return _Formula(lists / population.users, (whole.resident_bytes - lists) / population.channels)


def _instance_bytes(population: Population, whole: Filled) -> float:
    """Twice what the formula says of so small a table, which is too little, and the process."""
    channels = min(population.channels, population.memberships / population.instances)
    return 2 * _formula(population, whole).of(population.users / population.instances, channels) + PROCESS_BYTES


def _most_bytes(whole: Filled) -> int:
    """Of the table, while a snapshot is written, and while it is read back."""
    if whole.snapshot is None:
        return whole.resident_bytes
    return max(whole.resident_bytes + whole.snapshot.written_extra_bytes, whole.snapshot.restored_bytes)


def another_deployment(population: Population, whole: Filled) -> Table:
    """How to come from this size to others; of a table that is too small, that it cannot be done."""
    if not tells_of_memory(population):
        return Table(
            _ANOTHER,
            f"A table so small says nothing about a large one: from {_TELLING:,} memberships on, there is a formula.",
        )
    formula = _formula(population, whole)
    user, channel = map(units.size, formula)
    on_top = _most_bytes(whole) / whole.resident_bytes - 1
    text = (
        f"table = users online x {user} + channels x {channel}. This is the table, and not the RAM to plan for, which "
        f"is RAM = table x {units.digits(1 + on_top)} x {_SPARE} + {units.size(PROCESS_BYTES)}: at this size, writing "
        f"a snapshot or restoring it takes up to {units.digits(100 * on_top)} % on top; then a quarter to spare, and "
        f"{units.size(PROCESS_BYTES)} for Python and the service. The formula holds where a user has about "
        f"{units.digits(population.memberships / population.users)} channels and a channel about "
        f"{units.digits(population.memberships / population.channels)} members, as here, from half to twice this "
        "size; it says too little for much smaller tables, and too much for much larger ones. For another density, "
        "run the benchmark with its numbers."
    )
    rows = [
        Row("a user", [Figure(formula.user, "bytes")], "The user's list of channels, and a place in the cache."),
        Row("a channel", [Figure(formula.channel, "bytes")], "Its name, where its readers are, its share of the rest."),
        Row(
            "or: a membership",
            [Figure(whole.resident_bytes / population.memberships, "bytes")],
            "All of the memory shared out over the memberships: another measure, for this density alone.",
        ),
    ]
    return Table(_ANOTHER, text, ["memory"], rows)
