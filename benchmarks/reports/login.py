"""`fanout bench login`: a user of very many channels comes online and leaves, and lookups go on beside it."""

from statistics import median
from typing import Final

import msgspec
from msgspec.structs import replace

from benchmarks import units
from benchmarks.apart import run_apart
from benchmarks.costs import Held, require_room
from benchmarks.errors import NumbersError, TablesDifferError
from benchmarks.measure.beside import Beside, BesideSettings, Distribution, beside
from benchmarks.measure.logins import Logins, LoginSettings, logins
from benchmarks.population import Population
from benchmarks.report import Report, Target, at_least, at_most
from benchmarks.reports import login_sections as sections
from benchmarks.reports.framing import SPEC, Run, agree_first
from benchmarks.stages import Stages
from benchmarks.tables import KINDS, TITLES, Kind

FULL_VISIT: Final = 100_000
_BEFORE_FLOOR: Final = {"cached": 3, "known": 8, "offline": 3}
_BEFORE_PYTHON: Final = {"known": 15, "cached": 40}
_EXTRA_US: Final = {"p99": 50, "p99.9": 200}
_STALL_US: Final = 1_000
STAGES: Final = 3 + len(KINDS)
"""Agreement, logins in the whole table and in each smaller one, and what goes on beside them."""


class LoginOptions(msgspec.Struct, frozen=True):
    """Who comes, and into what."""

    population: Population = SPEC
    visit: int = FULL_VISIT
    """Channels of the user who comes and goes."""
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


def login(options: LoginOptions, stages: Stages) -> Report:
    """Logins in the full table beside the floor, logins in the alternatives, and what goes on beside logins.

    Raises:
        BenchError: it cannot be drawn, does not fit the machine, or the tables differ.
    """
    run = Run()
    options.population.check()
    require_room(options.population, lambda population: _tables(replace(options, population=population)))
    agree_first(stages)
    whole = _logins("engine", options, options.measured, stages)
    others = _alternatives(options, stages)
    watched = run_apart(
        beside,
        BesideSettings(options.measured, options.measured_visit, options.seconds),
        Beside,
        stages("lookups and an event loop beside logins"),
    )
    return run.report(
        "login",
        f"Logins: a user in {units.counted(options.measured_visit, 'channel')} comes and goes",
        _summary(options, whole),
        options,
        [*_floor_targets(options, whole), *_python_targets(options, others), *_beside_targets(options, watched)],
        [
            sections.visits(whole),
            sections.alternatives(options.measured_alternatives, others),
            sections.lookups(watched),
            sections.loop(watched),
        ],
        {"engine": whole, "alternatives": others, "beside": watched},
    )


def _tables(options: LoginOptions) -> list[Held]:
    """One after another.

    Raises:
        NumbersError: there are fewer channels than the user is to be in.
    """
    if options.visit > options.population.channels:
        raise NumbersError(
            "a user is in a channel once, so there must be at least as many channels as the user is in: "
            f"--channels {options.population.channels} is less than --visit {options.visit}"
        )
    return [Held("engine", options.measured), *(Held(kind, options.measured_alternatives) for kind in KINDS)]


def _logins(kind: Kind, options: LoginOptions, population: Population, stages: Stages) -> Logins:
    settings = LoginSettings(kind, population, options.measured_visit, options.rounds)
    title = f"{TITLES[kind]}, logins among {units.count(population.channels)} channels"
    return run_apart(logins, settings, Logins, stages(title))


def _alternatives(options: LoginOptions, stages: Stages) -> dict[Kind, Logins]:
    others = {kind: _logins(kind, options, options.measured_alternatives, stages) for kind in KINDS}
    if len({each.answers for each in others.values()}) > 1:
        raise TablesDifferError("the tables answered logins differently, so their figures are not compared")
    return others


def _summary(options: LoginOptions, whole: Logins) -> str:
    cached, known, offline = (units.duration(median(each) / 1e3) for each in (whole.cached, whole.known, whole.offline))
    return (
        f"In a table of {units.counted(options.measured.channels, 'channel')}, a user of {options.measured_visit:,} "
        f"comes online in {cached} when the memberships are cached and in {known} when they are given by name, and "
        f"leaves in {offline}."
    )


def _floor_targets(options: LoginOptions, whole: Logins) -> list[Target]:
    floor = median(whole.floor[sections.JUDGING_FLOOR])
    return [
        at_most(
            f"{sections.NAMES[what]}, as a multiple of the floor",
            median(taken) / floor,
            _BEFORE_FLOOR[what],
            "times",
            judged=_judged(options),
        )
        for what, taken in sections.by_kind(whole).items()
        if what in _BEFORE_FLOOR
    ]


def _python_targets(options: LoginOptions, others: dict[Kind, Logins]) -> list[Target]:
    engine, python = sections.by_kind(others["engine"]), sections.by_kind(others["python"])
    return [
        at_least(
            f"{sections.NAMES[what]}, faster than in Python dicts",
            median(python[what]) / median(engine[what]),
            wanted,
            "times",
            judged=_judged(options),
        )
        for what, wanted in _BEFORE_PYTHON.items()
    ]


def _beside_targets(options: LoginOptions, watched: Beside) -> list[Target]:
    judged, alone = _judged(options), watched.lookups["alone"]
    targets = [
        at_most(
            f"lookups {sections.SCENES[scene]}, {share} above alone",
            watched.lookups[scene].percentiles[share] - alone.percentiles[share],
            limit,
            "us",
            judged=judged,
        )
        for scene in ("cached", "known")
        for share, limit in _EXTRA_US.items()
    ]
    stalls = [
        at_most(
            f"longest stall of an event loop {sections.SCENES[scene]} (alone {_longest(watched.loop['alone'])}, "
            f"{sections.SCENES['busy']} {_longest(watched.loop['busy'])})",
            watched.loop[scene].longest,
            _STALL_US,
            "us",
            judged=judged,
        )
        for scene in ("cached", "known")
    ]
    return targets + stalls


def _longest(of: Distribution) -> str:
    return units.duration(of.longest / 1e6)


def _judged(options: LoginOptions) -> bool:
    return options.measured_visit == FULL_VISIT and options.measured == SPEC
