"""`fanout bench login`: a user of very many channels comes online and leaves, and lookups go on beside it."""

from itertools import product
from statistics import median
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from benchmarks import units
from benchmarks.apart import Stages, run_apart
from benchmarks.case import QUICK, Case
from benchmarks.costs import Held, require_room
from benchmarks.errors import NumberError
from benchmarks.histogram import Histogram
from benchmarks.logins import FLOORS, VISITS, Logins, Scenes, beside, logins
from benchmarks.population import SPEC, Population
from benchmarks.report import Figure, Report, Row, Table, Target, at_least, at_most, distribution, figures
from benchmarks.tables import KINDS, REHEARSED, TITLES, Kind, measure_each

_FULL_VISIT: Final = 100_000
_ALTERNATIVES: Final = 1 / 8
"""The part of the size at which the tables in Python and in Cython are compared with the engine."""
_BEFORE_FLOOR: Final = {"cached": 3, "known": 8, "offline": 3}
_BEFORE_PYTHON: Final = {"known": 15, "cached": 40}
_EXTRA_S: Final = {0.99: 50e-6, 0.999: 200e-6}
_SHARES: Final = {f"p{share * 100:g}": share for share in (0.5, 0.9, 0.99, 0.999, 0.9999)}
_STALL_S: Final = 1e-3
_LOOKUPS: Final = (
    "One thread calls instances(channel) as fast as it can, while in another thread users come and go without pause. "
    "Python's threads take turns of at most 50 us; a call waits for that and for the engine's locks."
)
_LOOP: Final = (
    "An asyncio event loop goes round with nothing to do, while users come and go in another thread. A long round is a "
    "stall. Other work is hashing: stalls beside it, and alone, are the machine's, and are in the other lines too."
)
_SCENES: Final = {
    "alone": "alone",
    "busy": "beside other work",
    "cached": "beside logins from the cache",
    "known": "beside logins by name",
}


class LoginOptions(msgspec.Struct, frozen=True):
    """Who comes, and into what."""

    population: Population = SPEC
    visit: Annotated[int, Meta(ge=1, description="Channels of the user who comes and goes.")] = _FULL_VISIT
    rounds: int = 15
    seconds: float = 9.0
    """For which lookups, and an event loop, are watched in each scene."""


def run(options: LoginOptions, stages: Stages) -> Report:
    """Logins in the full table beside the floor, logins in the alternatives, and what goes on beside logins.

    Raises:
        BenchError: it cannot be drawn, does not fit the machine, or the tables differ.
    """
    full, visit = options.population, options.visit
    require_room(full, lambda population: tables(population, visit))
    small = _smaller(full, visit)
    what = f"logins among {units.count(small.channels)} channels"
    others = measure_each(stages, what, logins, (REHEARSED, 100, 2), small, visit, options.rounds)
    stages(f"{TITLES['engine']}, logins among {units.count(full.channels)} channels")
    whole = run_apart(logins, "engine", full, visit, options.rounds)
    stages("lookups and an event loop beside logins")
    lookups, loop = run_apart(beside, full, visit, options.seconds)
    cached, known, offline = (units.duration(median(whole.seconds[what])) for what in ("cached", "known", "offline"))
    return Report(
        f"Logins: a user in {units.counted(visit, 'channel')} comes and goes",
        f"In a table of {units.counted(full.channels, 'channel')}, a user of {visit:,} comes online in "
        f"{cached} when the memberships are cached and in {known} when they come by name, and leaves in {offline}.",
        _targets(whole, others, lookups, loop, full=visit == _FULL_VISIT and full == SPEC),
        [
            _visits(whole),
            _alternatives(small, others),
            _watched("Lookups beside logins", _LOOKUPS, lookups),
            _watched("An event loop beside logins", _LOOP, loop),
        ],
        {"engine": whole, "alternatives": others, "beside": {"lookups": _figures(lookups), "loop": _figures(loop)}},
    )


def tables(population: Population, visit: int) -> list[Held]:
    """The tables, one after another, for a user of so many channels; a `NumberError` if there are fewer."""
    if visit > population.channels:
        raise NumberError(f"a user is in a channel once: --channels {population.channels} is less than --visit {visit}")
    return [Held("engine", population), *(Held(kind, _smaller(population, visit)) for kind in KINDS)]


def _smaller(population: Population, visit: int) -> Population:
    """Not so small that the user could not be in as many channels."""
    return population.scaled(max(_ALTERNATIVES, min(1.0, 2 * visit / population.channels)))


def _targets(whole: Logins, others: dict[Kind, Logins], lookups: Scenes, loop: Scenes, *, full: bool) -> list[Target]:
    targets = []
    for visit, limit in _BEFORE_FLOOR.items():
        what, ratio = f"{VISITS[visit][0]}, as a multiple of the floor", _ratio(whole, visit, whole, "ordinary")
        targets.append(at_most(what, ratio, limit, "times", full=full))
    for visit, wanted in _BEFORE_PYTHON.items():
        what, ratio = f"{VISITS[visit][0]}, faster than in Python dicts", _slower(others, "python", visit)
        targets.append(at_least(what, ratio, wanted, "times", full=full))
    for scene, (share, extra) in product(("cached", "known"), _EXTRA_S.items()):
        more = (lookups[scene].percentile(share) - lookups["alone"].percentile(share)) / 1e9
        what = f"lookups {_SCENES[scene]}, p{share * 100:g} above alone"
        targets.append(at_most(what, more, extra, "s", full=full))
    seen = ", ".join(f"{_SCENES[scene]} {units.duration(loop[scene].longest / 1e9)}" for scene in ("alone", "busy"))
    for scene in ("cached", "known"):
        what = f"longest stall of an event loop {_SCENES[scene]} ({seen})"
        targets.append(at_most(what, loop[scene].longest / 1e9, _STALL_S, "s", full=full))
    return targets


def _ratio(of: Logins, what: str, to: Logins, other: str) -> float:
    return median(of.seconds[what]) / median(to.seconds[other])


def _slower(others: dict[Kind, Logins], kind: Kind, visit: str) -> float:
    return _ratio(others[kind], visit, others["engine"], visit)


def _visits(whole: Logins) -> Table:
    floors = {
        kind: (f"floor, rows of {size} bytes{' in huge pages' if huge else ''}", "")
        for kind, (size, huge) in FLOORS.items()
    }
    rows = []
    for key, (name, note) in (VISITS | floors).items():
        taken, ratio = whole.seconds[key], _ratio(whole, key, whole, "ordinary")
        rows.append(Row(name, [*figures("s", (median(taken), min(taken), max(taken))), Figure(ratio, "times")], note))
    text = (
        "The floor is the least that a table of plain rows could do: one read and one write in a row of each of the "
        "user's channels, in rising order, measured in turn with the logins. The engine asks the operating system for "
        "huge pages, in which memory far apart is reached faster; so does the last floor."
    )
    return Table("Logins beside the floor", text, ["median", "fastest", "slowest", "of the floor"], rows, bars=[0])


def _alternatives(population: Population, others: dict[Kind, Logins]) -> Table:
    rows = []
    for key, (name, _) in VISITS.items():
        taken = figures("s", (median(others[kind].seconds[key]) for kind in KINDS))
        rows.append(Row(name, [*taken, *figures("times", (_slower(others, kind, key) for kind in KINDS[1:]))]))
    text = (
        f"The median of the same visits in tables of {population.shape()}, and how many times the engine's each takes; "
        "all calls returned the same in each. Of few channels, what any call takes is most of it."
    )
    columns = [TITLES[kind] for kind in KINDS] + [f"{TITLES[kind]}, ratio" for kind in KINDS[1:]]
    return Table("The alternatives", text, columns, rows, bars=[0, 1, 2])


def _told(counted: Histogram) -> dict[str, Figure]:
    told = {name: Figure(counted.percentile(share) / 1e9, "s") for name, share in _SHARES.items()}
    often = counted.longer_than(1_000_000) / (counted.total / 1e9)
    others = {"over 1 ms, per second": Figure(often, "count"), "timed": Figure(counted.count, "number")}
    return told | {"longest": Figure(counted.longest / 1e9, "s")} | others


def _figures(seen: Scenes) -> dict[str, dict[str, float]]:
    return {scene: {name: of.value for name, of in _told(counted).items()} for scene, counted in seen.items()}


def _watched(title: str, text: str, seen: Scenes) -> Table:
    told = {_SCENES[scene]: _told(counted) for scene, counted in seen.items()}
    curves = {_SCENES[scene]: counted.curve() for scene, counted in seen.items()}
    rows = [Row(name, list(of.values())) for name, of in told.items()]
    return Table(title, text, list(told["alone"]), rows, plots=[distribution(title, "us", curves, 1e-3)])


def _quick(options: LoginOptions) -> LoginOptions:
    visit = max(1, round(options.visit * QUICK))
    tables(options.population, options.visit)
    return replace(options, population=options.population.scaled(QUICK), visit=visit, rounds=3, seconds=0.6)


CASE: Final = Case(
    "login",
    "Let a user of very many channels come online and leave, and watch lookups meanwhile.\n\n"
    "Names new, names known, and memberships cached, beside the floor: one touch of each place in memory, measured in "
    "the same run; the same in plain Python dicts and in Cython; and how long lookups and an event loop wait.",
    LoginOptions,
    run,
    _quick,
    stages=3 + len(KINDS),
)
