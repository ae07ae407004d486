"""`fanout bench sizing`: what a deployment of so many users and channels takes, and above all its routing table."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from benchmarks import units
from benchmarks.apart import Stages, run_apart
from benchmarks.case import QUICK, Case
from benchmarks.cases.planning import another_deployment, costs_of, plan, ram_bytes, tells_of_memory
from benchmarks.costs import Held, require_room
from benchmarks.fill import Filled, fill
from benchmarks.population import SPEC, Population
from benchmarks.report import Figure, Report, Row, Table, Target, Unit, at_least, at_most, figures
from benchmarks.tables import EVENT_BYTES, KINDS, REHEARSED, TITLES, measure_each

_RESIDENT_LIMIT: Final = 450e6
_LOOKUPS_LIMIT: Final = 5e6
_RESTORE_LIMIT_S: Final = 5
_ALTERNATIVES: Final = 1 / 8
"""The share of the size at which the tables in Python and in Cython are built."""
_SPEC_BYTES: Final = {"channels": 1_500_000_000, "memberships": 500_000_000, "users": 200_000_000}
"""Bytes that the specification expects of the channel index, the users' lists and the cache, by what they grow with."""
_PARTS: Final = {"names", "locations"}


class SizingOptions(msgspec.Struct, frozen=True):
    """The table to build."""

    population: Population = SPEC
    messages: Annotated[float, Meta(ge=0, description="Messages per second that the deployment accepts.")] = 2_000.0
    figures: Annotated[
        list[str],
        Meta(description="A --json file of sockets, pipeline or accepting, to plan with; may be repeated."),
    ] = []
    lookups: int = 5_000_000
    events: int = 200_000
    planned: bool = True
    """Whether the population is that of the deployment, and not a part of it."""


def run(options: SizingOptions, stages: Stages) -> Report:
    """Build the table, and at an eighth of the size all tables.

    Raises:
        BenchError: it cannot be drawn, does not fit the machine, or the tables differ.
    """
    population, smaller = options.population, options.population.scaled(_ALTERNATIVES)
    require_room(population, tables)
    costs = costs_of(options.figures)
    compared = measure_each(
        stages, smaller.shape(), fill, (REHEARSED, 1_000, 1_000), smaller, options.lookups, options.events
    )
    stages(f"{TITLES['engine']}, {population.shape()}")
    whole = run_apart(fill, "engine", population, options.lookups, options.events)
    small = "A quick run builds a fiftieth of the size: too little to plan from. Run it without --quick."
    return Report(
        f"Sizing: {population.shape()}",
        _summary(population, whole),
        _targets(whole, full=population == SPEC),
        [
            plan(population, options.messages, whole, costs) if options.planned else Table("What to plan for", small),
            _speed(population, whole),
            another_deployment(population, whole),
            _memory(population, whole),
            _alternatives(smaller, list(compared.values())),
        ],
        {"engine": whole, "alternatives": compared},
    )


def tables(population: Population) -> list[Held]:
    """The tables, one after another. The engine's second copy is restored from the first one's snapshot."""
    smaller = population.scaled(_ALTERNATIVES)
    return [Held("engine", population, copies=2), *(Held(kind, smaller) for kind in KINDS[1:])]


def _expected_bytes(population: Population) -> dict[str, int]:
    """The memory that the platform's specification expects, in proportion to its size."""
    return {what: round(size * getattr(population, what) / getattr(SPEC, what)) for what, size in _SPEC_BYTES.items()}


def _summary(population: Population, whole: Filled) -> str:
    expected = units.size(sum(_expected_bytes(population).values()))
    beside = f", where the platform's specification expects {expected}" if tells_of_memory(population) else ""
    return (
        f"The routing table takes {units.size(whole.resident_bytes)} of memory{beside}. Filling it took "
        f"{units.duration(whole.fill_seconds)} of one core's time. Plan for {units.size(ram_bytes(whole))} of RAM for "
        "each fan-out worker."
    )


def _targets(whole: Filled, *, full: bool) -> list[Target]:
    lookups, restored = "channels looked up by name in batches, by one core", "the whole table restored from a snapshot"
    return [
        at_most("resident memory of the whole table", whole.resident_bytes, _RESIDENT_LIMIT, "bytes", full=full),
        at_least(lookups, whole.lookups_per_second, _LOOKUPS_LIMIT, "/s", full=full),
        at_most(restored, whole.restored_seconds, _RESTORE_LIMIT_S, "s", full=full),
    ]


def _speed(population: Population, whole: Filled) -> Table:
    width, file = units.digits(whole.entries / population.channels), units.size(whole.snapshot_bytes)
    filled_in = population.memberships / whole.fill_seconds
    events = f"Of {EVENT_BYTES} bytes, to random channels of the full table; {width} instances each, on average."
    lines: dict[str, tuple[float, Unit, str]] = {
        "memberships filled in": (filled_in, "/s", "As users come online, by names."),
        "lookups by name": (whole.lookups_per_second, "/s", "Random channels, a thousand in a call."),
        "events routed into batches": (whole.events_per_second, "/s", events),
        "snapshot written in": (whole.written_seconds, "s", f"Engine.snapshot, into a file of {file}."),
        "restored in": (whole.restored_seconds, "s", "Engine.restore, in a new process."),
    }
    rows = [Row(name, [Figure(value, unit)], note) for name, (value, unit, note) in lines.items()]
    text = (
        "Filling in, lookups and events are per second of one core's processor time. A snapshot is the whole table in "
        "a file, to begin with after a restart; it is timed by the clock, since the disk counts."
    )
    return Table("How fast", text, ["engine"], rows)


def _memory(population: Population, whole: Filled) -> Table:
    held, expected = whole.structures, _expected_bytes(population)
    names, places, resident = held["bytes_ids"], held["bytes_placements"], whole.resident_bytes
    lines: dict[str, tuple[int, int, str]] = {
        "channel index": (names + places, expected["channels"], "The way from a channel to instances."),
        "names": (names, 0, "The ids of users, channels and instances, each held once."),
        "locations": (places, 0, "For each channel, the instances with its readers."),
        "memberships": (held["bytes_memberships"], expected["memberships"], "For each user, the channels."),
        "cache": (held["bytes_cache"], expected["users"], "What remembers recent users, without their lists."),
        "the rest": (resident - held["bytes_total"], 0, "In no structure: rounded up, or kept for later."),
        "in all": (resident, sum(expected.values()), "What the process grew by as it filled."),
    }
    rows = [
        Row(name, [Figure(of, "bytes"), Figure(wanted, "bytes") if wanted else ""], note, name in _PARTS)
        for name, (of, wanted, note) in lines.items()
    ]
    small = "" if tells_of_memory(population) else " At this size fixed costs rule, so the two do not compare."
    text = (
        "What the engine holds by its own count, beside what the platform's specification expects, in proportion: "
        f"{units.size(sum(_SPEC_BYTES.values()))} for {SPEC.shape()}.{small} Indented lines are parts."
    )
    return Table("Memory by structure", text, ["engine", "specification"], rows, bars=[0, 1])


def _alternatives(population: Population, filled: list[Filled]) -> Table:
    held = [each.resident_bytes for each in filled]
    filled_in = (population.memberships / each.fill_seconds for each in filled)
    rows = [
        Row("memory", figures("bytes", held), "Resident memory of the same table."),
        Row("memory, as a multiple", figures("times", (each / held[0] for each in held)), "Of the engine's."),
        Row("memberships filled in", figures("/s", filled_in), "As users come."),
        Row("lookups", figures("/s", (each.lookups_per_second for each in filled)), "By name, a thousand in a call."),
    ]
    text = (
        f"At an eighth of the size, {population.shape()}: the same in tables of plain Python dicts and of Cython, "
        "built in the same run; all three gave the same answers about a sample of channels. Memory is compared from "
        "8,000,000 memberships on: of less, most is what a table takes however little it holds."
    )
    return Table(
        "The alternatives", text, [TITLES[kind] for kind in KINDS], rows if tells_of_memory(population) else rows[2:]
    )


CASE: Final = Case(
    "sizing",
    "Build a routing table of a given size, and say what a deployment of that size takes.\n\n"
    "How many of each part, cores, RAM, disk and bandwidth; memory by structure beside the specification's, what each "
    "user and channel costs, how fast the table fills and answers, and the same in plain Python dicts and in Cython at "
    "an eighth of the size.",
    SizingOptions,
    run,
    lambda options: replace(
        options, population=options.population.scaled(QUICK), lookups=200_000, events=20_000, planned=False
    ),
    stages=2 + len(KINDS),
)
