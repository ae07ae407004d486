"""`fanout bench sizing`: what a deployment of so many users and channels takes, and above all its routing table."""

from collections.abc import Callable
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from benchmarks import units
from benchmarks.apart import Stages, run_apart
from benchmarks.case import QUICK, Case
from benchmarks.cases.planning import Costs, another_deployment, costs_of, plan, ram_bytes, tells_of_memory
from benchmarks.costs import Held, require_room
from benchmarks.errors import TablesDifferError
from benchmarks.measure.agreement import agree_first
from benchmarks.measure.fill import Filled, fill
from benchmarks.measure.routing import EVENT_BYTES
from benchmarks.population import SPEC, Population
from benchmarks.report import Cell, Figure, Report, Row, Table, Target, Unit, at_least, at_most, figures
from benchmarks.tables import KINDS, TITLES, Kind

_RESIDENT_LIMIT: Final = 450e6
_LOOKUPS_LIMIT: Final = 5e6
_RESTORE_LIMIT_S: Final = 5
_FRACTIONS: Final = (1 / 8, 1 / 4, 1 / 2)
_SPEC_BYTES: Final = {"channels": 1_500_000_000, "memberships": 500_000_000, "users": 200_000_000}
"""What the specification expects of the channel index, the users' lists and the cache, by what makes each grow."""


class SizingOptions(msgspec.Struct, frozen=True):
    """What to build."""

    population: Population = SPEC
    messages: Annotated[float, Meta(ge=0, description="Messages per second that the deployment accepts.")] = 2_000.0
    figures: Annotated[
        list[str],
        Meta(description="A --json file of sockets, pipeline or accepting, to plan with; may be repeated."),
    ] = []
    scale: float = 1.0
    """The part of the population that is built: less than all to try it out."""
    lookups: int = 5_000_000
    events: int = 200_000
    alternatives: float = 1 / 8
    """The part of what is built at which the tables in Python and in Cython are."""

    @property
    def measured(self) -> Population:
        """What is built."""
        return self.population.scaled(self.scale)


def run(options: SizingOptions, stages: Stages) -> Report:
    """Build the table at several sizes, and the alternatives at one.

    Raises:
        BenchError: it cannot be drawn, does not fit the machine, or the tables differ.
    """
    options.population.check()
    require_room(options.population, lambda population: tables(replace(options, population=population)))
    costs = costs_of(options.figures)
    agree_first(stages)
    curve = {share: _filled("engine", options, share, stages) for share in (*_FRACTIONS, 1.0)}
    others = _alternatives(options, stages, curve[options.alternatives])
    population, whole = options.measured, curve[1.0]
    return Report(
        f"Sizing: {population.shape()}",
        _summary(population, whole),
        _targets(population, whole),
        [
            _plan(options, whole, costs),
            _speed(population, whole),
            another_deployment(population, whole),
            _memory(population, whole),
            _growth(population, curve),
            _compared(options.alternatives, population.scaled(options.alternatives), others),
        ],
        {"engine": {f"{share:g}": filled for share, filled in curve.items()}, "alternatives": others},
    )


def tables(options: SizingOptions) -> list[Held]:
    """What is held, one after another. The engine's second copy is read back from the first one's snapshot."""
    smaller = options.measured.scaled(options.alternatives)
    return [Held("engine", options.measured, copies=2), *(Held(kind, smaller) for kind in KINDS[1:])]


def _filled(kind: Kind, options: SizingOptions, share: float, stages: Stages) -> Filled:
    progress = stages(f"{TITLES[kind]}, {units.of_size(share)}")
    return run_apart(progress, fill, kind, options.measured.scaled(share), options.lookups, options.events)


def _alternatives(options: SizingOptions, stages: Stages, engine: Filled) -> dict[Kind, Filled]:
    others = {kind: _filled(kind, options, options.alternatives, stages) for kind in KINDS[1:]}
    filled: dict[Kind, Filled] = {"engine": engine, **others}
    if len({(each.answers, each.entries) for each in filled.values()}) > 1:
        raise TablesDifferError("the tables answered differently about the same channels: they are not compared")
    return filled


def _expected_bytes(population: Population) -> dict[str, int]:
    """What the platform's specification expects, in proportion to its size."""
    return {what: round(size * getattr(population, what) / getattr(SPEC, what)) for what, size in _SPEC_BYTES.items()}


def _summary(population: Population, whole: Filled) -> str:
    expected = units.size(sum(_expected_bytes(population).values()))
    beside = f", where the platform's specification expects {expected}" if tells_of_memory(population) else ""
    return (
        f"The routing table takes {units.size(whole.resident_bytes)} of memory{beside}. Filling it took "
        f"{units.duration(whole.fill_seconds)} of one core's time. Plan for {units.size(ram_bytes(whole))} of RAM for "
        "each fan-out worker."
    )


def _targets(population: Population, whole: Filled) -> list[Target]:
    judged, resident = population == SPEC, whole.resident_bytes
    lookups = "channels looked up by name in batches, by one core"
    targets = [
        at_most("resident memory of the whole table", resident, _RESIDENT_LIMIT, "bytes", judged=judged),
        at_least(lookups, whole.lookups_per_second, _LOOKUPS_LIMIT, "/s", judged=judged),
    ]
    if whole.snapshot:
        what, seconds = "the whole table restored from a snapshot", whole.snapshot.restored_seconds
        targets.append(at_most(what, seconds, _RESTORE_LIMIT_S, "s", judged=judged))
    return targets


def _plan(options: SizingOptions, whole: Filled, costs: Costs) -> Table:
    if options.scale < 1:
        return Table(
            "What to plan for",
            f"A quick run builds {units.of_size(options.scale)}: too little to plan from. Run it without --quick.",
        )
    return plan(options.population, options.messages, whole, costs)


def _speed(population: Population, whole: Filled) -> Table:
    def row(name: str, rate: float, note: str) -> Row:
        return Row(name, [Figure(rate, "/s")], note)

    rows = [
        row("memberships filled in", population.memberships / whole.fill_seconds, "As users come online, by names."),
        row("(channel, instance) entries", whole.entries / whole.fill_seconds, f"The table holds {whole.entries:,}."),
        row("lookups by name", whole.lookups_per_second, "Random channels of the full table, a thousand in a call."),
    ]
    if whole.events_per_second:
        width = units.digits(whole.entries / population.channels)
        note = f"Of {EVENT_BYTES} bytes, to random channels of the full table; {width} instances each, on average."
        rows.append(row("events routed into batches", whole.events_per_second, note))
    if whole.snapshot:
        written = f"Engine.snapshot, into a file of {units.size(whole.snapshot.file_bytes)}."
        rows += [
            Row("snapshot written in", [Figure(whole.snapshot.written_seconds, "s")], written),
            Row("restored in", [Figure(whole.snapshot.restored_seconds, "s")], "Engine.restore, in a new process."),
        ]
    return Table(
        "How fast",
        "Filling in, lookups and events are per second of one core's processor time. A snapshot is the whole table in "
        "a file, to begin with after a restart; it is timed by the clock, since the disk counts.",
        ["engine"],
        rows,
    )


def _memory(population: Population, whole: Filled) -> Table:
    held, expected = whole.structures, _expected_bytes(population)
    names, placements, resident = held["bytes_ids"], held["bytes_placements"], whole.resident_bytes
    lines: dict[str, tuple[int, int, str]] = {
        "channel index": (names + placements, expected["channels"], "The way from a channel to instances."),
        "names": (names, 0, "The ids of users, channels and instances, each held once."),
        "placements": (placements, 0, "For each channel, the instances with its readers."),
        "memberships": (held["bytes_memberships"], expected["memberships"], "For each user, the channels."),
        "cache": (held["bytes_cache"], expected["users"], "What remembers recent users, without their lists."),
        "the rest": (resident - held["bytes_total"], 0, "In no structure: rounded up, or kept for later."),
        "in all": (resident, sum(expected.values()), "What the process grew by as it filled."),
    }
    rows = [
        Row(
            name,
            [Figure(of, "bytes"), Figure(wanted, "bytes") if wanted else ""],
            note,
            name in {"names", "placements"},
        )
        for name, (of, wanted, note) in lines.items()
    ]
    small = "" if tells_of_memory(population) else " At this size fixed costs rule, so the two do not compare."
    text = (
        "What the engine holds by its own count, beside what the platform's specification expects, in proportion: "
        f"{units.size(sum(_SPEC_BYTES.values()))} for {SPEC.shape()}.{small} Indented lines are parts."
    )
    return Table("Memory by structure", text, ["engine", "specification"], rows, bars=[0, 1])


def _growth(population: Population, curve: dict[float, Filled]) -> Table:
    rows = []
    for share, filled in curve.items():
        memberships = population.scaled(share).memberships
        cells: list[Cell] = [*figures("bytes", (filled.resident_bytes, filled.resident_bytes / memberships))]
        cells += [Figure(filled.fill_seconds, "s"), Figure(filled.lookups_per_second, "/s")]
        rows.append(Row(units.counted(memberships, "membership"), cells))
    return Table(
        "Cost against size",
        "The same shape of users and channels at several sizes. Lookups become slower as the table outgrows the "
        "processor's caches. Times are processor time.",
        ["memory", "each membership", "time to fill", "lookups"],
        rows,
        bars=[0],
    )


def _compared(share: float, population: Population, others: dict[Kind, Filled]) -> Table:
    engine = others["engine"].resident_bytes

    def row(name: str, unit: Unit, figure: Callable[[Filled], float], note: str) -> Row:
        return Row(name, figures(unit, map(figure, others.values())), note)

    memory = [
        row("memory", "bytes", lambda filled: filled.resident_bytes, "Resident memory of the same table."),
        row("memory, as a multiple", "times", lambda filled: filled.resident_bytes / engine, "Of the engine's."),
    ]
    speed = [
        row("memberships filled in", "/s", lambda of: population.memberships / of.fill_seconds, "As users come."),
        row("lookups", "/s", lambda filled: filled.lookups_per_second, "By name, a thousand in a call."),
    ]
    tells = tells_of_memory(population)
    small = (
        ""
        if tells
        else (
            " Memory is not compared at this size: what a table takes however little it holds is most of it. It is "
            "compared from 8,000,000 memberships on, of which the alternatives hold an eighth."
        )
    )
    return Table(
        "The alternatives",
        f"At {units.of_size(share)}, {population.shape()}: the same in tables of plain Python dicts and of Cython, "
        f"built in the same run; all three gave the same answers about a sample of channels.{small}",
        [TITLES[kind] for kind in KINDS],
        [*(memory if tells else []), *speed],
    )


CASE: Final = Case(
    "sizing",
    "Build a routing table of a given size, and say what a deployment of that size takes.\n\n"
    "How many of each part, cores, RAM, disk and bandwidth; memory by structure beside the specification's, what each "
    "user and channel costs, how fast the table fills and answers, and the same in plain Python dicts and in Cython at "
    "an eighth of the size.",
    SizingOptions,
    run,
    lambda options: replace(options, scale=QUICK, lookups=200_000, events=20_000),
    stages=1 + len(_FRACTIONS) + len(KINDS),
)
