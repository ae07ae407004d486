"""The parts of the report of `fanout bench sizing`."""

from collections.abc import Callable
from typing import Final, NamedTuple

from benchmarks import units
from benchmarks.measure.fill import Filled
from benchmarks.measure.routing import EVENT_BYTES
from benchmarks.population import Population
from benchmarks.report import Bar, BarPlot, LinePlot, Row, Section, Series, Table
from benchmarks.reports.framing import SPEC
from benchmarks.reports.sizing_hardware import ram_bytes
from benchmarks.tables import KINDS, TITLES, Kind

_SPEC_BYTES: Final = {"channels": 1_500_000_000, "memberships": 500_000_000, "users": 200_000_000}
"""What the specification expects of the channel index, the users' lists and the cache, by what makes each grow."""


def expected_bytes(population: Population) -> dict[str, int]:
    """What the platform's specification expects, in proportion to its sizing."""
    return {
        what: round(expected * getattr(population, what) / getattr(SPEC, what))
        for what, expected in _SPEC_BYTES.items()
    }


def summary(population: Population, whole: Filled) -> str:
    """In three sentences."""
    return (
        f"The routing table takes {units.size(whole.resident_bytes)} of memory, where the platform's specification "
        f"expects {units.size(sum(expected_bytes(population).values()))}. Filling it took "
        f"{units.duration(whole.fill_seconds)} of one core's time. Plan for {units.size(ram_bytes(whole))} of RAM "
        "for each process that holds it."
    )


def memory(population: Population, whole: Filled) -> Section:
    """What is held where."""
    lines = _structures(population, whole)
    return Section(
        "Memory by structure",
        "What the engine holds, as it counts it itself, beside what the platform's specification expects. The "
        f"specification is the plan that Fanout was written to: {SPEC.shape()}, for which it allows "
        f"{units.size(sum(_SPEC_BYTES.values()))}. Its figures are given here in proportion to this size. Indented "
        "lines are the parts of the line above them; the others add up to the last.",
        [Table(["engine", "specification"], [_memory_row(line) for line in lines])],
        [
            BarPlot(
                "Memory by structure",
                "Each bar is the memory of one part of the table; the specification's parts are drawn beside them.",
                [bar for line in lines for bar in _memory_bars(line)],
            )
        ],
    )


class _Structure(NamedTuple):
    name: str
    held: int
    expected: int | None
    """Bytes that the specification expects, where it says so."""
    meaning: str
    part: bool = False
    """Of the one before."""


def _structures(population: Population, whole: Filled) -> list[_Structure]:
    held, expected = whole.structures, expected_bytes(population)
    names, placements = held["bytes_ids"], held["bytes_placements"]
    return [
        _Structure("channel index", names + placements, expected["channels"], "The way from a channel to instances."),
        _Structure("names", names, None, "The ids of users, channels and instances, each held once.", part=True),
        _Structure("placements", placements, None, "For each channel, the instances with its readers.", part=True),
        _Structure("memberships", held["bytes_memberships"], expected["memberships"], "For each user, the channels."),
        _Structure(
            "cache",
            held["bytes_cache"],
            expected["users"],
            "What remembers who was online a while ago; the lists are those of the memberships, and counted there.",
        ),
        _Structure(
            "the rest",
            _rest(whole),
            None,
            "Memory that the process took from the system and that is in no structure: rounded up, or kept for later.",
        ),
        _Structure("in all", whole.resident_bytes, sum(expected.values()), "What the process grew by as it filled."),
    ]


def _rest(whole: Filled) -> int:
    return whole.resident_bytes - whole.structures["bytes_total"]


def _memory_row(line: _Structure) -> Row:
    cells = [units.size(line.held), units.size(line.expected) if line.expected else ""]
    return Row(line.name, cells, line.meaning, line.part)


def _memory_bars(line: _Structure) -> list[Bar]:
    bars = [Bar(f"of which {line.name}" if line.part else line.name, line.held, units.size(line.held))]
    if line.expected:
        bars.append(Bar(f"{line.name}, specification", line.expected, units.size(line.expected), 1))
    return bars


def speed(population: Population, whole: Filled) -> Section:
    """How fast it fills, answers, and is written and read back."""
    rows = [
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
            "Channels looked up in the full table, at random, a thousand in a call.",
        ),
        *_event_rows(population, whole),
        *_snapshot_rows(whole),
    ]
    return Section(
        "How fast",
        "Filling in, lookups and events are per second of one core's processor time, in which other programs of the "
        "machine hardly show. A snapshot is the whole table in a file, to begin with after a restart: it is timed "
        "by the clock on the wall, since the disk counts.",
        [Table(["engine"], rows)],
    )


def _event_rows(population: Population, whole: Filled) -> list[Row]:
    if whole.events_per_second is None:
        return []
    width = units.digits(whole.entries / population.channels)
    return [
        Row(
            "events routed into batches",
            [f"{units.count(whole.events_per_second)}/s"],
            f"Events of {EVENT_BYTES} bytes to random channels of the full table, each put into the batch of every "
            f"instance of its channel, {width} on average, and the batches taken out.",
        )
    ]


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
    memory, fills, lookups = (
        [(float(sizes[share]), figure(filled)) for share, filled in curve.items()] for figure in _FIGURES_AGAINST_SIZE
    )
    rows = [
        Row(
            units.counted(sizes[share], "membership"),
            [
                units.size(filled.resident_bytes),
                units.size(filled.resident_bytes / sizes[share]),
                units.duration(filled.fill_seconds),
                f"{units.count(filled.lookups_per_second)}/s",
            ],
            f"The whole measurement at {units.of_size(share)}.",
        )
        for share, filled in curve.items()
    ]
    return Section(
        "Cost against size",
        "The same shape of users and channels at several sizes: a straight line means that a size twice as large "
        "costs twice as much. Lookups become slower as the table outgrows the processor's caches. Times are of one "
        "core's processor time.",
        [Table(["memory", "each membership", "time to fill", "lookups"], rows)],
        [
            _against_size("Memory", "MB", "Resident memory of the table as memberships grow.", memory),
            _against_size(
                "Time to fill", "seconds", "How long the engine's own calls took to bring all users online.", fills
            ),
            _against_size("Lookups", "M/s", "Channels looked up by name per second, at random.", lookups),
        ],
    )


_FIGURES_AGAINST_SIZE: Final[tuple[Callable[[Filled], float], ...]] = (
    lambda filled: filled.resident_bytes / 1e6,
    lambda filled: filled.fill_seconds,
    lambda filled: filled.lookups_per_second / 1e6,
)


def _against_size(what: str, unit: str, meaning: str, points: list[tuple[float, float]]) -> LinePlot:
    return LinePlot(f"{what} against size", meaning, "memberships", unit, [Series("engine", points)])


def alternatives(share: float, population: Population, others: dict[Kind, Filled]) -> list[Section]:
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
            f"At {units.of_size(share)}, {population.shape()}: the same in tables of plain Python dicts and of Cython, "
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
