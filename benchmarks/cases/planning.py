"""What hardware a deployment of the measured size takes, and one of another size."""

from collections.abc import Iterable
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
    """One kind of process; None: not measured."""

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
    rows = [
        _row(part.name, str(part.number), [[part.cores], [part.ram], [part.disk], [part.bandwidth]], part.note)
        for part in parts
    ]
    columns = [[getattr(part, what) for part in parts] for what in ("cores", "ram", "disk", "bandwidth")]
    total = "What was not measured is not in it, nor is what the operating systems take: one core for each machine."
    rows.append(_row("total", str(sum(part.number for part in parts)), columns, total))
    return Table(
        "What to plan for",
        f"{population.shape()}, {messages:,.0f} messages of {EVENT_BYTES} bytes a second, each to "
        f"{units.digits(population.memberships / population.channels)} readers on "
        f"{units.digits(whole.entries / population.channels)} instances on average. Memory and events of the workers "
        "were measured by this run. What it did not measure says so; --figures FILE takes it from a report of fanout "
        "bench sockets or pipeline that was written with --json on such a machine. Bandwidth is in and out, of the "
        "events alone, by calculation. The disk of nats-server and of the store is for each day that is kept.",
        ["how many", "cores", "RAM", "disk", "bandwidth"],
        rows,
    )


def _row(name: str, count: str, columns: list[list[float | None]], note: str) -> Row:
    units_of: list[Unit] = ["count", "bytes", "bytes", "bytes/s"]
    return Row(name, [count, *(_sum(unit, each) for unit, each in zip(units_of, columns, strict=True))], note)


def _sum(unit: Unit, values: list[float | None]) -> Cell:
    known = [value for value in values if value is not None]
    if not known:
        return "not measured here"
    total = Figure(sum(known), unit)
    if not total.value:
        return "none"
    return total if len(known) == len(values) else f"at least {total}"


def _workers(population: Population, messages: float, whole: Filled, costs: Costs) -> _Part:
    snapshot, width = whole.snapshot, whole.entries / population.channels
    each_s = max(1 / (whole.events_per_second or 1), costs.worker_s_per_message or 0)
    busy = max(1, -int(-_HEADROOM * messages * each_s // 1))
    count = busy + _LOST
    source = (
        "measured with its sockets"
        if costs.worker_s_per_message
        else ("of the engine alone, so a worker carries fewer; fanout bench pipeline measures it with its sockets")
    )
    restored = units.size(snapshot.restored_bytes) if snapshot else "not measured"
    note = (
        f"fanout serve fanout. {busy} for the load ({units.count(1 / each_s)} events/s of one core, {source}; half of "
        f"it left free), one that may be lost and one that replaces it. Each holds the whole table: "
        f"{units.size(whole.resident_bytes)}, at most {units.size(_most_bytes(whole))} while a snapshot is written or "
        f"restored (restoring: {restored}), and {units.size(ram_bytes(whole))} with a quarter to spare and "
        f"{units.size(PROCESS_BYTES)} for Python. Disk: twice the snapshot, the new one is written beside the old one."
    )
    disk = count * 2 * snapshot.file_bytes if snapshot else None
    bandwidth = messages * EVENT_BYTES * (1 + width)
    return _Part("fan-out workers", count, count, count * ram_bytes(whole), disk, bandwidth, note)


def _instances(population: Population, messages: float, whole: Filled, costs: Costs) -> _Part:
    count, readers = population.instances, population.memberships / population.channels
    table = _instance_bytes(population, whole) if tells_of_memory(population) else None
    connections, delivery = costs.instance_bytes_per_connection, costs.instance_s_per_delivery
    ram = None if connections is None or table is None else count * table + population.users * connections
    cores = None if delivery is None else _HEADROOM * messages * readers * delivery
    said = ["fanout serve notification; each uses one core at most."]
    if table is not None:
        said.append(
            f"About {units.size(table)} each for the table of its {units.digits(population.users / count)} users and "
            "for Python: an estimate, twice the formula below."
        )
    else:
        said.append("The table of so few users is not estimated.")
    said.append("Connections and deliveries:")
    said.append(f"{_source('sockets', connections, delivery)}; half of each core left free.")
    if costs.instance_s_per_connection:
        seconds = units.duration(population.users * costs.instance_s_per_connection)
        said.append(f"If all reconnect, that takes {seconds} of processor time.")
    bandwidth = messages * EVENT_BYTES * (whole.entries / population.channels + readers)
    return _Part("notification instances", count, cores, ram, 0, bandwidth, " ".join(said))


def _others(messages: float, width: float, costs: Costs) -> list[_Part]:
    """The parts of which the harness measures processor time at most; how many is a rule of thumb."""
    stored = messages * EVENT_BYTES
    daily = stored * _DAY_S

    def cores(each_s: float | None) -> float | None:
        return None if each_s is None else _HEADROOM * messages * each_s

    gateway, nats = cores(costs.gateway_s_per_message), cores(costs.nats_s_per_message)
    redis = cores(costs.redis_s_per_message)
    through = f"Processor time: {_source('pipeline', costs.nats_s_per_message)}."
    return [
        _Part(
            "gateways",
            _PAIR,
            gateway,
            None,
            0,
            2 * stored,
            f"Processor time of an accepted message and memory: {_source('accepting', costs.gateway_s_per_message)}.",
        ),
        _Part(
            "message writers",
            _PAIR,
            None,
            None,
            daily,
            2 * stored,
            "Not measured by any benchmark; the disk is the store's.",
        ),
        _Part(
            "nats-server",
            _REPLICAS,
            nats,
            None,
            _REPLICAS * daily,
            stored * (_REPLICAS + 2 + 2 * width),
            f"{through} Three replicas, each with the whole stream.",
        ),
        _Part("redis-server", _PAIR, redis, None, None, 0, f"{through} One and its replica; memory is not measured."),
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
        f"table = users online x {user} + channels x {channel}. This is the table, and not the RAM to plan for, "
        f"which is RAM = table x {units.digits(1 + on_top)} x {_SPARE} + {units.size(PROCESS_BYTES)}: at this size, "
        f"writing a snapshot or restoring it takes up to {units.digits(100 * on_top)} % on top; then a quarter to "
        f"spare, and {units.size(PROCESS_BYTES)} for Python and the service. The formula holds where a user has about "
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
