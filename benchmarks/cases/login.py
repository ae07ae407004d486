"""`fanout bench login`: a user of very many channels comes online and leaves, and lookups go on beside it."""

from statistics import median
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from benchmarks import units
from benchmarks.apart import Stages, run_apart
from benchmarks.case import QUICK, Case
from benchmarks.costs import Held, require_room
from benchmarks.errors import NumbersError, TablesDifferError
from benchmarks.measure.agreement import agree_first
from benchmarks.measure.beside import SWITCH_INTERVAL_S, Beside, Distribution, beside
from benchmarks.measure.logins import FLOORS, VISITS, Logins, logins
from benchmarks.population import SPEC, Population
from benchmarks.report import Figure, Report, Row, Table, Target, at_least, at_most, distribution, figures
from benchmarks.tables import KINDS, TITLES, Kind

_FULL_VISIT: Final = 100_000
_TELLING: Final = 10_000
"""Channels of a visit."""
_BEFORE_FLOOR: Final = {"cached": 3, "known": 8, "offline": 3}
_BEFORE_PYTHON: Final = {"known": 15, "cached": 40}
_EXTRA_S: Final = {"p99": 50e-6, "p99.9": 200e-6}
_STALL_S: Final = 1e-3
_JUDGING_FLOOR: Final = "ordinary"
_SCENES: Final = {
    "alone": "alone",
    "busy": "beside other work",
    "cached": "beside logins from the cache",
    "known": "beside logins by name",
}
_NOTES: Final = {
    "cached": "The user was here before, so the engine knows the channels and only enters the user in each.",
    "known": "The channels come as strings that the table has: each is looked up first.",
    "new": "The channels come as strings that nobody used before: each gets its place in the table first.",
    "offline": "The user is taken out of every channel.",
    "vanishing": "The user is taken out of channels that nobody else is in, and from the cache, so that they go too.",
}


class LoginOptions(msgspec.Struct, frozen=True):
    """Who comes, and into what."""

    population: Population = SPEC
    visit: Annotated[int, Meta(ge=1, description="Channels of the user who comes and goes.")] = _FULL_VISIT
    scale: float = 1.0
    """The part of both that is measured: less than all to try it out."""
    rounds: int = 15
    seconds: float = 9.0
    """For which lookups, and an event loop, are watched in each scene."""
    alternatives: float = 1 / 8
    """The part of what is measured at which the tables in Python and in Cython are compared with the engine."""

    @property
    def measured(self) -> Population:
        """What the table holds."""
        return self.population.scaled(self.scale)

    @property
    def measured_visit(self) -> int:
        """Channels of the user who comes and goes into it."""
        return max(1, round(self.visit * self.scale))

    @property
    def measured_alternatives(self) -> Population:
        """Not so small that the user could not be in as many channels."""
        share = max(self.alternatives, min(1.0, 2 * self.measured_visit / self.measured.channels))
        return self.measured.scaled(share)

    @property
    def judged(self) -> bool:
        """Whether it is what the targets are about."""
        return self.measured_visit == _FULL_VISIT and self.measured == SPEC


def run(options: LoginOptions, stages: Stages) -> Report:
    """Logins in the full table beside the floor, logins in the alternatives, and what goes on beside logins.

    Raises:
        BenchError: it cannot be drawn, does not fit the machine, or the tables differ.
    """
    options.population.check()
    require_room(options.population, lambda population: tables(replace(options, population=population)))
    agree_first(stages)
    whole = _logins("engine", options, options.measured, stages)
    others = {kind: _logins(kind, options, options.measured_alternatives, stages) for kind in KINDS}
    if len({each.answers for each in others.values()}) > 1:
        raise TablesDifferError("the tables answered logins differently, so their figures are not compared")
    progress = stages("lookups and an event loop beside logins")
    watched = run_apart(progress, beside, options.measured, options.measured_visit, options.seconds)
    return Report(
        f"Logins: a user in {units.counted(options.measured_visit, 'channel')} comes and goes",
        _summary(options, whole),
        _targets(options, whole, others, watched),
        [
            _visits(whole),
            _alternatives(options, others),
            _watched("Lookups beside logins", _LOOKUPS, watched.lookups),
            _watched("An event loop beside logins", _LOOP, watched.loop),
        ],
        {"engine": whole, "alternatives": others, "beside": watched},
    )


def tables(options: LoginOptions) -> list[Held]:
    """What is held, one after another.

    Raises:
        NumbersError: there are fewer channels than the user is to be in.
    """
    if options.visit > options.population.channels:
        raise NumbersError(
            "a user is in a channel once, so there must be at least as many channels as the user is in: --channels "
            f"{options.population.channels} is less than --visit {options.visit}"
        )
    return [Held("engine", options.measured), *(Held(kind, options.measured_alternatives) for kind in KINDS)]


def _logins(kind: Kind, options: LoginOptions, population: Population, stages: Stages) -> Logins:
    progress = stages(f"{TITLES[kind]}, logins among {units.count(population.channels)} channels")
    return run_apart(progress, logins, kind, population, options.measured_visit, options.rounds)


def _summary(options: LoginOptions, whole: Logins) -> str:
    taken = {name: units.duration(median(each)) for name, each in whole.visits.items()}
    return (
        f"In a table of {units.counted(options.measured.channels, 'channel')}, a user of {options.measured_visit:,} "
        f"comes online in {taken['cached']} when the memberships are cached and in {taken['known']} when they are "
        f"given by name, and leaves in {taken['offline']}."
    )


def _targets(options: LoginOptions, whole: Logins, others: dict[Kind, Logins], watched: Beside) -> list[Target]:
    judged, floor = options.judged, median(whole.floor[_JUDGING_FLOOR])
    alone, loop = watched.lookups["alone"], watched.loop
    engine, python = ({what: median(each) for what, each in others[kind].visits.items()} for kind in KINDS[:2])
    targets = [
        at_most(
            f"{VISITS[what]}, as a multiple of the floor",
            median(whole.visits[what]) / floor,
            limit,
            "times",
            judged=judged,
        )
        for what, limit in _BEFORE_FLOOR.items()
    ]
    targets += [
        at_least(
            f"{VISITS[what]}, faster than in Python dicts", python[what] / engine[what], wanted, "times", judged=judged
        )
        for what, wanted in _BEFORE_PYTHON.items()
    ]
    for scene in ("cached", "known"):
        of = watched.lookups[scene].percentiles
        targets += [
            at_most(
                f"lookups {_SCENES[scene]}, {share} above alone",
                of[share] - alone.percentiles[share],
                limit,
                "s",
                judged=judged,
            )
            for share, limit in _EXTRA_S.items()
        ]
    beside_others = ", ".join(f"{_SCENES[scene]} {units.duration(loop[scene].longest)}" for scene in ("alone", "busy"))
    targets += [
        at_most(
            f"longest stall of an event loop {_SCENES[scene]} ({beside_others})",
            loop[scene].longest,
            _STALL_S,
            "s",
            judged=judged,
        )
        for scene in ("cached", "known")
    ]
    return targets


def _visits(whole: Logins) -> Table:
    floor = median(whole.floor[_JUDGING_FLOOR])

    def row(name: str, taken: list[float], note: str) -> Row:
        middle = median(taken)
        return Row(name, [*figures("s", (middle, min(taken), max(taken))), Figure(middle / floor, "times")], note)

    rows = [row(name, whole.visits[what], _NOTES[what]) for what, name in VISITS.items()]
    for kind, (size, huge) in FLOORS.items():
        pages = " in huge pages" if huge else ""
        note = f"One touch of a row of {size} bytes for each of the user's channels{pages}."
        rows.append(row(f"floor, rows of {size} bytes{pages}", whole.floor[kind], note))
    return Table(
        "Logins beside the floor",
        "The floor is the least that a table of plain rows could do: one read and one write in a row of each of the "
        "user's channels, in rising order, measured in the same process in turn with the logins. The engine asks the "
        "operating system for huge pages, in which memory far apart is reached faster; so does the last floor.",
        ["median", "fastest", "slowest", "of the floor"],
        rows,
        bars=[0],
    )


def _alternatives(options: LoginOptions, others: dict[Kind, Logins]) -> Table:
    visit = options.measured_visit
    small = (
        " So few channels say little: what a call takes however few they are is most of it." if visit < _TELLING else ""
    )
    rows = []
    for what, name in VISITS.items():
        engine, *rest = (median(others[kind].visits[what]) for kind in KINDS)
        ratios = figures("times", (each / engine for each in rest))
        rows.append(Row(name, [*figures("s", (engine, *rest)), *ratios]))
    return Table(
        "The alternatives",
        f"The median of the same visits in tables of {options.measured_alternatives.shape()}: the engine's, one of "
        "plain Python dicts and one in Cython, and how many times the engine's each takes; all calls returned the "
        f"same in each.{small}",
        [TITLES[kind] for kind in KINDS] + [f"{TITLES[kind]}, ratio" for kind in KINDS[1:]],
        rows,
        bars=[0, 1, 2],
    )


_LOOKUPS: Final = (
    "One thread calls instances(channel) as fast as it can, while in another thread users come and go without pause. "
    f"Python's threads take turns, here of at most {units.duration(SWITCH_INTERVAL_S)}; a call waits for that and for "
    "the engine's locks."
)
_LOOP: Final = (
    "An asyncio event loop goes round with nothing to do, while users come and go in a thread of its pool. A long "
    "round is a stall. Other work is hashing, which has nothing to do with Fanout: stalls beside it, and alone, are "
    "the machine's, and are in the other lines too."
)


def _watched(title: str, text: str, seen: dict[str, Distribution]) -> Table:
    rows = [
        Row(
            _SCENES[scene],
            [
                *figures("s", (*of.percentiles.values(), of.longest)),
                Figure(of.over_ms_per_second, "count"),
                Figure(of.count, "number"),
            ],
        )
        for scene, of in seen.items()
    ]
    plot = distribution(title, "us", {_SCENES[scene]: of.curve for scene, of in seen.items()}, 1e6)
    columns = [*seen["alone"].percentiles, "longest", "over 1 ms, per second", "timed"]
    return Table(title, text, columns, rows, plots=[plot])


CASE: Final = Case(
    "login",
    "Let a user of very many channels come online and leave, and watch lookups meanwhile.\n\n"
    "Names new, names known, and memberships cached, beside the floor: one touch of each place in memory, measured in "
    "the same run; the same in plain Python dicts and in Cython; and how long lookups and an event loop wait.",
    LoginOptions,
    run,
    lambda options: replace(options, scale=QUICK, rounds=3, seconds=0.6),
    stages=3 + len(KINDS),
)
