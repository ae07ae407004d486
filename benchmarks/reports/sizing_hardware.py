"""What hardware a table of the measured size wants, and one of another size."""

from typing import Final, NamedTuple

from benchmarks import units
from benchmarks.costs import PROCESS_BYTES
from benchmarks.measure.fill import EVENT_BYTES, Filled, Snapshot
from benchmarks.population import Population
from benchmarks.report import Row, Section, Table

_SPARE: Final = 1.25
_TELLING: Final = 1_000_000
"""Memberships: of fewer, most of the memory is what a table takes however little it holds."""
_ANOTHER: Final = "Memory of another deployment"


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
    spare = units.size(PROCESS_BYTES)
    text = (
        f"Plan for {units.size(ram_bytes(whole))} of RAM for each fan-out worker: every one holds a whole table of its "
        "own, while a server instance holds one of its own users alone. The quarter is a rule of thumb, for growth and "
        "for memory that comes back late after many logins (fanout bench churn). RAM of all together = workers x "
        f"{units.size(ram_bytes(whole))} + instances x ({spare} + table of its users + its connections, whose "
        "sockets and buffers are not measured here). What the operating system, the message broker and the databases "
        "take comes on top. A second thread adds little to one "
        "engine (fanout bench route), so to carry more events start more workers, each with the whole table again."
    )
    memory = [*_worker_rows(whole, whole.snapshot), *_instance_rows(population, whole)]
    cores = _core_rows(whole.events_per_second)
    return [Section("What hardware it wants", text, [Table(["memory"], memory), Table(["cores"], cores)])]


def _worker_rows(whole: Filled, snapshot: Snapshot) -> list[Row]:
    table = whole.resident_bytes
    lines = {
        "the table": (table, "While users come and go."),
        "the table, while it is written": (table + snapshot.written_extra_bytes, "With what a snapshot takes on top."),
        "the table, while it is restored": (snapshot.restored_bytes, "In a new process: the most on the way."),
        "RAM for each worker": (
            ram_bytes(whole),
            f"The largest of these and a quarter to spare, and {units.size(PROCESS_BYTES)} for Python and the service.",
        ),
        "disk for each snapshot": (
            2 * snapshot.file_bytes,
            "Twice the file: the new one is written beside the old one, and then takes its place.",
        ),
    }
    return [Row(name, [units.size(held)], meaning) for name, (held, meaning) in lines.items()]


def _instance_rows(population: Population, whole: Filled) -> list[Row]:
    if population.memberships < _TELLING:
        return []
    users = population.users / population.instances
    channels = min(population.channels, population.memberships / population.instances)
    return [
        Row(
            "table of each server instance",
            [f"about {units.size(_formula(population, whole).of(users, channels))}"],
            f"Estimated by the formula under {_ANOTHER}: {units.digits(users)} users (users / instances) in at most "
            f"{units.digits(channels)} channels (memberships / instances, or all there are). The sockets and buffers "
            "of its connections come on top, and are not measured here.",
        )
    ]


def _core_rows(events_per_second: float) -> list[Row]:
    return [
        Row(
            "each worker",
            ["1"],
            f"Busy with the engine alone at {units.count(events_per_second)} events/s of {EVENT_BYTES} bytes; what "
            "Python, the broker and the sockets take comes on top, and is not measured here.",
        ),
        Row("logins and the operating system", ["1"], "A rule of thumb: one more on each machine."),
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
        f"table = users x {user} + channels x {channel}. This is the table, and not the RAM to plan for, which is "
        f"RAM = table x {units.digits(1 + on_top)} x {_SPARE} + {units.size(PROCESS_BYTES)}: at this size, writing a "
        f"snapshot or restoring it takes up to {units.digits(100 * on_top)} % on top; then a quarter to spare, and "
        f"{units.size(PROCESS_BYTES)} for Python and the service. The formula holds where a user has about "
        f"{units.digits(population.memberships / population.users)} channels and a channel about "
        f"{units.digits(population.memberships / population.channels)} members, as here, from half to twice this size; "
        "it says too little for much smaller tables, and too much for much larger ones. For another density, run the "
        "benchmark with its numbers. The last line is the same memory by another measure: take it instead of the first "
        "two, not with them."
    )
