"""`fanout bench login`: a user of very many channels comes online and leaves, and lookups go on beside it."""

from statistics import median
from typing import Final

import msgspec

from benchmarks import units
from benchmarks.apart import run_apart
from benchmarks.costs import require_room
from benchmarks.errors import BenchError, TablesDifferError
from benchmarks.measure.beside import Beside, BesideSettings, beside
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


class LoginOptions(msgspec.Struct, frozen=True):
    """Who comes, and into what."""

    population: Population = SPEC
    visit: int = FULL_VISIT
    """Channels of the user who comes and goes."""
    rounds: int = 15
    seconds: float = 9.0
    """For which lookups, and an event loop, are watched in each scene."""
    alternatives: float = 1 / 8
    """The part of the size at which the tables in Python and in Cython are compared with the engine."""


def login(options: LoginOptions, stages: Stages) -> Report:
    """Logins in the full table beside the floor, logins in the alternatives, and what goes on beside logins.

    Raises:
        BenchError: it cannot be drawn, does not fit the machine, or the tables differ.
    """
    run = Run()
    _check(options)
    agree_first(stages)
    whole = _logins("engine", options, options.population, stages)
    others = _alternatives(options, stages)
    watched = run_apart(
        beside,
        BesideSettings(options.population, options.visit, options.seconds),
        Beside,
        stages("lookups and an event loop beside logins"),
    )
    return run.report(
        "login",
        f"Logins: a user in {units.count(options.visit)} channels comes and goes",
        _summary(options, whole),
        options,
        [*_floor_targets(options, whole), *_python_targets(options, others), *_beside_targets(options, watched)],
        [
            sections.visits(whole),
            sections.alternatives(_size_of_alternatives(options), others),
            sections.lookups(watched),
            sections.loop(watched),
        ],
        {"engine": whole, "alternatives": others, "beside": watched},
    )


def _check(options: LoginOptions) -> None:
    options.population.check()
    if options.visit > options.population.channels:
        raise BenchError("a user is in a channel once: there must be at least as many channels as the user is in")
    require_room("engine", options.population)
    for kind in KINDS:
        require_room(kind, _size_of_alternatives(options))


def _size_of_alternatives(options: LoginOptions) -> Population:
    """Not so small that the user could not be in as many channels."""
    share = max(options.alternatives, min(1.0, 2 * options.visit / options.population.channels))
    return options.population.scaled(share)


def _logins(kind: Kind, options: LoginOptions, population: Population, stages: Stages) -> Logins:
    settings = LoginSettings(kind, population, options.visit, options.rounds)
    title = f"{TITLES[kind]}, logins among {units.count(population.channels)} channels"
    return run_apart(logins, settings, Logins, stages(title))


def _alternatives(options: LoginOptions, stages: Stages) -> dict[Kind, Logins]:
    others = {kind: _logins(kind, options, _size_of_alternatives(options), stages) for kind in KINDS}
    if len({each.answers for each in others.values()}) > 1:
        raise TablesDifferError("the tables answered logins differently, so their figures are not compared")
    return others


def _summary(options: LoginOptions, whole: Logins) -> str:
    cached, known, offline = (units.duration(median(each) / 1e3) for each in (whole.cached, whole.known, whole.offline))
    return (
        f"In a table of {units.count(options.population.channels)} channels, a user of {units.count(options.visit)} "
        f"comes online in {cached} when the memberships are cached and in {known} when they are given by name, and "
        f"leaves in {offline}."
    )


def _floor_targets(options: LoginOptions, whole: Logins) -> list[Target]:
    floor = median(whole.floor[16])
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
            f"longest stall of an event loop {sections.SCENES[scene]} "
            f"(alone {units.duration(watched.loop['alone'].longest / 1e6)})",
            watched.loop[scene].longest,
            _STALL_US,
            "us",
            judged=judged,
        )
        for scene in ("cached", "known")
    ]
    return targets + stalls


def _judged(options: LoginOptions) -> bool:
    return options.visit == FULL_VISIT and options.population.scaled(1.0) == SPEC
