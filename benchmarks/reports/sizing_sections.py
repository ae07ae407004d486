"""The parts of the report of `fanout bench sizing`."""

from collections.abc import Callable
from typing import Final

from benchmarks import units
from benchmarks.measure.fill import Filled
from benchmarks.population import Population
from benchmarks.report import Bar, BarPlot, LinePlot, Row, Section, Series, Table
from benchmarks.reports.framing import SPEC
from benchmarks.tables import KINDS, TITLES, Kind

_SPEC_BYTES: Final = {"channels": 1_500_000_000, "memberships": 500_000_000, "users": 200_000_000}
"""What the specification expects of the channel index, the users' lists and the cache, by what makes each grow."""


def expected_bytes(population: Population) -> dict[str, int]:
    """What the platform's specification expects, in proportion to its sizing."""
    return {
        what: round(expected * getattr(population, what) / getattr(SPEC, what))
        for what, expected in _SPEC_BYTES.items()
    }


def memory(population: Population, whole: Filled) -> Section:
    """What is held where."""
    lines = _structures(population, whole)
    return Section(
        "Memory by structure",
        "What the engine holds, as it counts it itself, beside what the platform's specification expects, in "
        "proportion to its sizing.",
        [Table(["engine", "specification"], [_memory_row(*line) for line in lines])],
        [
            BarPlot(
                "Memory by structure",
                "Each bar is the memory of one part of the table; the specification's parts are drawn beside them.",
                [bar for line in lines for bar in _memory_bars(*line)],
            )
        ],
    )


_Structure = tuple[str, int, int | None, str]
"""Name, bytes held, bytes that the specification expects, what it is."""


def _structures(population: Population, whole: Filled) -> list[_Structure]:
    held, expected = whole.structures, expected_bytes(population)
    index = held["bytes_ids"] + held["bytes_placements"]
    return [
        ("names", held["bytes_ids"], None, "The ids of users, channels and instances, and the way from an id to it."),
        ("placements", held["bytes_placements"], None, "For each channel, the instances that hold its readers."),
        ("channel index", index, expected["channels"], "Names and placements together: from a channel to instances."),
        ("memberships", held["bytes_memberships"], expected["memberships"], "For each user, the channels."),
        (
            "cache",
            held["bytes_cache"],
            expected["users"],
            "What remembers who was online; it shares the lists above.",
        ),
        (
            "beside these",
            whole.resident_bytes - held["bytes_total"],
            None,
            "What the allocator keeps and rounds up, and what is nobody's.",
        ),
        ("in all", whole.resident_bytes, sum(expected.values()), "Resident memory beyond that of the empty process."),
    ]


def _memory_row(name: str, held: int, expected: int | None, meaning: str) -> Row:
    return Row(name, [units.size(held), units.size(expected) if expected else ""], meaning)


def _memory_bars(name: str, held: int, expected: int | None, _meaning: str) -> list[Bar]:
    bars = [Bar(name, held, units.size(held))]
    return [*bars, Bar(f"{name}, specification", expected, units.size(expected), 1)] if expected else bars


def costs(population: Population, whole: Filled) -> Section:
    """What one of each costs, in memory and in time."""
    held = whole.structures
    users = (held["bytes_memberships"] + held["bytes_cache"]) / population.users
    channels = (held["bytes_ids"] + held["bytes_placements"]) / population.channels
    rows = [
        Row(
            "a user",
            [units.size(users)],
            f"Memory for one user of {population.memberships // population.users} channels.",
        ),
        Row("a channel", [units.size(channels)], "Memory for one channel: its name, and where its readers are."),
        Row(
            "a membership",
            [units.size(whole.resident_bytes / population.memberships)],
            "All memory, shared out over the memberships: multiply it by yours.",
        ),
        Row(
            "memberships filled in",
            [f"{units.count(population.memberships / whole.fill_seconds)}/s"],
            "How fast an empty table fills when users come online one after another, their channels given by name.",
        ),
        Row(
            "(channel, instance) entries",
            [f"{units.count(whole.entries / whole.fill_seconds)}/s"],
            f"The same in entries, of which the table holds {whole.entries:,}: members on one instance share one.",
        ),
        Row(
            "lookups by name",
            [f"{units.count(whole.lookups_per_second)}/s"],
            "Channels looked up per second in the full table, at random, a thousand in a call, by one core.",
        ),
        *_snapshot_rows(whole),
    ]
    return Section("What each costs", "The figures to size a machine with.", [Table(["engine"], rows)])


def _snapshot_rows(whole: Filled) -> list[Row]:
    if whole.snapshot is None:
        return []
    written, restored = whole.snapshot.written_seconds, whole.snapshot.restored_seconds
    return [
        Row(
            "snapshot written in",
            [units.duration(written)],
            f"Engine.snapshot: the whole table into a file of {units.size(whole.snapshot.file_bytes)}.",
        ),
        Row("restored in", [units.duration(restored)], "Engine.restore: the same file into a new engine."),
    ]


def growth(population: Population, curve: dict[float, Filled]) -> Section:
    """By size."""
    sizes = {share: population.scaled(share).memberships for share in curve}
    memory = [(float(sizes[share]), filled.resident_bytes / 1e6) for share, filled in curve.items()]
    seconds = [(float(sizes[share]), filled.fill_seconds) for share, filled in curve.items()]
    rows = [
        Row(
            f"{units.count(sizes[share])} memberships",
            [
                units.size(filled.resident_bytes),
                units.size(filled.resident_bytes / sizes[share]),
                units.duration(filled.fill_seconds),
                f"{units.count(filled.lookups_per_second)}/s",
            ],
            f"The whole measurement at {share:.4g} of the size.",
        )
        for share, filled in curve.items()
    ]
    return Section(
        "Cost against size",
        "The same shape of users and channels at several sizes: a straight line means that a size twice as large "
        "costs twice as much.",
        [Table(["memory", "each membership", "filled in", "lookups"], rows)],
        [
            LinePlot(
                "Memory against size",
                "Resident memory of the table as memberships grow.",
                "memberships",
                "MB",
                [Series("engine", memory)],
            ),
            LinePlot(
                "Time to fill against size",
                "How long the engine's own calls took to bring all users online.",
                "memberships",
                "s",
                [Series("engine", seconds)],
            ),
        ],
    )


def alternatives(population: Population, others: dict[Kind, Filled]) -> list[Section]:
    """The same table otherwise made; none where there are no others."""
    if not others:
        return []
    memory_of = {kind: float(filled.resident_bytes) for kind, filled in others.items()}
    fills = {kind: population.memberships / filled.fill_seconds for kind, filled in others.items()}
    lookups = {kind: filled.lookups_per_second for kind, filled in others.items()}
    ratio = {kind: memory_of[kind] / memory_of["engine"] for kind in others}
    rows = [
        _compared("memory", memory_of, units.size, "Resident memory of the same table."),
        _compared("memory, as a multiple", ratio, units.times, "How many times the engine's memory each takes."),
        _compared(
            "memberships filled in per second", fills, units.count, "How fast each fills when users come online."
        ),
        _compared("lookups per second", lookups, units.count, "Channels looked up by name, a thousand in a call."),
    ]
    return [
        Section(
            "The alternatives",
            f"The same {units.count(population.memberships)} memberships in tables of plain Python dicts and of Cython "
            "built in the same run; all three gave the same answers about a sample of channels.",
            [Table([TITLES[kind] for kind in KINDS], rows)],
            [
                BarPlot(
                    "Memory of the alternatives",
                    "The same table held by each.",
                    [
                        Bar(TITLES[kind], memory_of[kind], units.size(memory_of[kind]), series)
                        for series, kind in enumerate(KINDS)
                    ],
                )
            ],
        )
    ]


def _compared(name: str, values: dict[Kind, float], shown: Callable[[float], str], meaning: str) -> Row:
    return Row(name, [shown(values[kind]) for kind in KINDS], meaning)
