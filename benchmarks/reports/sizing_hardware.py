"""What hardware a table of the measured size wants, and one of another size."""

from typing import Final, NamedTuple

from benchmarks import units
from benchmarks.costs import PROCESS_BYTES
from benchmarks.measure.fill import Filled, Snapshot
from benchmarks.measure.routing import EVENT_BYTES
from benchmarks.population import Population
from benchmarks.report import Row, Section, Table

_SPARE: Final = 1.25
_TELLING: Final = 1_000_000
"""Memberships: of fewer, most of the memory is what a table takes however little it holds."""
_ANOTHER: Final = "Memory of another deployment"
_WORKERS: Final = 3
"""For an example: one may be lost, and one be replaced meanwhile."""


def ram_bytes(whole: Filled) -> float:
    """To plan for, of each process that holds the table."""
    return _most_bytes(whole) * _SPARE + PROCESS_BYTES


def _most_bytes(whole: Filled) -> int:
    """Of the table, a snapshot and what reads it back."""
    snapshot = whole.snapshot
    most = max(whole.resident_bytes + snapshot.written_extra_bytes, snapshot.restored_bytes) if snapshot else 0
    return max(most, whole.resident_bytes)


class _Formula(NamedTuple):
    """Bytes of a table, each counted once."""

    user: float
    channel: float

    def of(self, users: float, channels: float) -> float:
        return self.user * users + self.channel * channels


def _formula(population: Population, whole: Filled) -> _Formula:
    lists = whole.structures["bytes_memberships"] + whole.structures["bytes_cache"]
    return _Formula(lists / population.users, (whole.resident_bytes - lists) / population.channels)


def hardware(population: Population, whole: Filled) -> list[Section]:
    """What to buy; nothing for a table that was not written and read back."""
    if whole.snapshot is None or whole.events_per_second is None:
        return []
    text = (
        f"Plan for {units.size(ram_bytes(whole))} of RAM for each fan-out worker (fanout serve fanout), a quarter to "
        "spare included: a rule of thumb, for growth and for memory that comes back late after many logins (fanout "
        "bench churn). Every worker holds a whole table of its own; a server instance (fanout serve notification) "
        f"holds one of its own users alone. {_tier(population, whole)}What the connections of the instances take is "
        "measured by fanout bench sockets, and comes on top; so does what the gateway, the message writer, the broker, "
        "the databases and the operating system take, which is not measured. A second thread adds little to one engine "
        "(fanout bench route), so to carry more events start more workers, each with the whole table again."
    )
    memory = [*_worker_rows(whole, whole.snapshot), *_instance_rows(population, whole)]
    cores = _core_rows(whole.events_per_second)
    return [Section("What hardware it wants", text, [Table(["memory"], memory), Table(["cores"], cores)])]


def _tier(population: Population, whole: Filled) -> str:
    if population.memberships < _TELLING:
        return ""
    worker, instance = ram_bytes(whole), _instance_bytes(population, whole) + PROCESS_BYTES
    total = _WORKERS * worker + population.instances * instance
    return (
        f"For {_WORKERS} workers and {units.counted(population.instances, 'instance')} that is {_WORKERS} x "
        f"{units.size(worker)} + {population.instances} x {units.size(instance)} = {units.size(total)}. "
    )


def _instance_bytes(population: Population, whole: Filled) -> float:
    """Twice what the formula says of so small a table, which is too little."""
    channels = min(population.channels, population.memberships / population.instances)
    return 2 * _formula(population, whole).of(population.users / population.instances, channels)


def _worker_rows(whole: Filled, snapshot: Snapshot) -> list[Row]:
    table = whole.resident_bytes
    lines = {
        "the table": (table, "While users come and go."),
        "the table, while it is written": (table + snapshot.written_extra_bytes, "With what a snapshot takes on top."),
        "the table, while it is restored": (
            snapshot.restored_bytes,
            "The most while a new process reads the snapshot.",
        ),
        "RAM for each worker": (
            ram_bytes(whole),
            f"The largest of these and a quarter to spare, and {units.size(PROCESS_BYTES)} for Python and the service.",
        ),
        "disk for each worker": (
            2 * snapshot.file_bytes,
            "Twice the file of its snapshot: the new one is written beside the old one, and then takes its place.",
        ),
    }
    return [Row(name, [units.size(held)], meaning) for name, (held, meaning) in lines.items()]


def _instance_rows(population: Population, whole: Filled) -> list[Row]:
    if population.memberships < _TELLING:
        return []
    users = population.users / population.instances
    return [
        Row(
            "RAM for each server instance",
            [f"about {units.size(_instance_bytes(population, whole) + PROCESS_BYTES)}"],
            f"Estimated for {units.digits(users)} users (users / instances), not measured: twice the formula under "
            f"{_ANOTHER}, which says too little for so small a table, and {units.size(PROCESS_BYTES)} for Python and "
            "the service. The sockets and buffers of its connections come on top: see fanout bench sockets.",
        )
    ]


def _core_rows(events_per_second: float) -> list[Row]:
    return [
        Row(
            "each worker",
            ["1"],
            f"Busy with the engine alone at {units.count(events_per_second)} events/s of {EVENT_BYTES} bytes; what "
            "Python and the broker's sockets take comes on top: see fanout bench pipeline.",
        ),
        Row(
            "each server instance",
            ["1"],
            "A process of one core, which writes to the sockets of its users: how many it serves is measured by fanout "
            "bench sockets.",
        ),
        Row("each machine", ["1"], "A rule of thumb: one more for logins and the operating system."),
    ]


def another_deployment(population: Population, whole: Filled) -> Section:
    """How to come from this size to others; of a table that is too small, that it cannot be done."""
    if population.memberships < _TELLING:
        return Section(
            _ANOTHER,
            f"A table so small says nothing about a large one: from {_TELLING:,} memberships on, there is a formula.",
        )
    formula = _formula(population, whole)
    user, channel = map(units.size, formula)
    each = units.size(whole.resident_bytes / population.memberships)
    rows = [
        Row("a user", [user], "The user's list of channels, and a place in the cache."),
        Row("a channel", [channel], "Its name, where its readers are, and its share of the rest."),
        Row("or: a membership", [each], "All of the memory shared out over the memberships."),
    ]
    return Section(_ANOTHER, _how_to_scale(population, whole, formula), [Table(["memory"], rows)])


def _how_to_scale(population: Population, whole: Filled, formula: _Formula) -> str:
    user, channel = map(units.size, formula)
    on_top = _most_bytes(whole) / whole.resident_bytes - 1
    return (
        f"table = users online x {user} + channels x {channel}. This is the table, and not the RAM to plan for, "
        f"which is RAM = table x {units.digits(1 + on_top)} x {_SPARE} + {units.size(PROCESS_BYTES)}: at this size, "
        f"writing a snapshot or restoring it takes up to {units.digits(100 * on_top)} % on top; then a quarter to "
        f"spare, and {units.size(PROCESS_BYTES)} for Python and the service. The formula holds where a user has about "
        f"{units.digits(population.memberships / population.users)} channels and a channel about "
        f"{units.digits(population.memberships / population.channels)} members, as here, from half to twice this size; "
        "it says too little for much smaller tables, and too much for much larger ones. For another density, run the "
        "benchmark with its numbers (fanout bench sizing --users ... --channels ... --memberships ... "
        "--instances ...). The last line is the same memory by another measure, which agrees with the first two at "
        "this density alone."
    )
