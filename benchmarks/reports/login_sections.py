"""The parts of the report of `fanout bench login`."""

import math
from collections.abc import Callable
from statistics import median
from typing import Final

from benchmarks import units
from benchmarks.measure.beside import SWITCH_INTERVAL_S, Beside, Distribution
from benchmarks.measure.logins import FLOORS, Logins
from benchmarks.population import Population
from benchmarks.report import Bar, BarPlot, LinePlot, Row, Section, Series, Table
from benchmarks.tables import KINDS, TITLES, Kind

NAMES: Final = {
    "cached": "online, memberships cached",
    "known": "online, by known names",
    "new": "online, by new names",
    "offline": "offline",
    "vanishing": "offline and forgotten, of new names",
}
SCENES: Final = {
    "alone": "alone",
    "busy": "beside other work",
    "cached": "beside logins from the cache",
    "known": "beside logins by name",
}
_MEANINGS: Final = {
    "cached": "The user was here before, so the engine knows the channels and only enters the user in each.",
    "known": "The channels come as strings that the table has: each is looked up first.",
    "new": "The channels come as strings that nobody used before: each gets its place in the table first.",
    "offline": "The user is taken out of every channel.",
    "vanishing": "The user is taken out of channels that nobody else is in, and from the cache, so that they go too.",
}
JUDGING_FLOOR: Final = "ordinary"
_NINES: Final = [(0.0, "0 %"), (1.0, "90 %"), (2.0, "99 %"), (3.0, "99.9 %"), (4.0, "99.99 %"), (5.0, "99.999 %")]
_LAST_NINE: Final = 6.0


def visits(whole: Logins) -> Section:
    """Each kind of visit in the full table, and the floor."""
    floor = median(whole.floor[JUDGING_FLOOR])
    rows = [_visit(NAMES[what], taken, floor, _MEANINGS[what]) for what, taken in by_kind(whole).items()]
    rows += [_visit(_floor_name(kind), taken, floor, _floor_meaning(kind)) for kind, taken in whole.floor.items()]
    return Section(
        "Logins beside the floor",
        "The floor is the least that a table of plain rows could do: one read and one write in a row of each of the "
        "user's channels, the rows in rising order, with nothing else, in memory as the C library gives it. It is "
        "measured in the same process, turn by turn with the logins. The engine asks the operating system for huge "
        "pages, in which memory far apart is reached faster, so the floor is measured in those too.",
        [Table(["median", "fastest", "slowest", "of the floor"], rows)],
        [
            BarPlot(
                "Logins beside the floor",
                "The median of each kind of visit.",
                [
                    Bar(row.name, median(taken), units.duration(median(taken) / 1e3), series)
                    for row, taken, series in zip(
                        rows,
                        [*by_kind(whole).values(), *whole.floor.values()],
                        [0] * len(NAMES) + [1] * len(whole.floor),
                        strict=True,
                    )
                ],
            )
        ],
    )


def by_kind(measured: Logins) -> dict[str, list[float]]:
    """Milliseconds of each turn, by the kind of visit."""
    return {what: getattr(measured, what) for what in NAMES}


def alternatives(population: Population, others: dict[Kind, Logins]) -> Section:
    """The same visits in the other tables."""
    medians = {kind: {what: median(taken) for what, taken in by_kind(each).items()} for kind, each in others.items()}
    rows = []
    for what, name in NAMES.items():
        taken = [medians[kind][what] for kind in KINDS]
        rows.append(
            Row(
                name,
                [
                    *(units.duration(each / 1e3) for each in taken),
                    *(units.times(each / taken[0]) for each in taken[1:]),
                ],
                "The median of the same visit in each table, and how many times the engine's each takes.",
            )
        )
    columns = [TITLES[kind] for kind in KINDS] + [f"{TITLES[kind]}, ratio" for kind in KINDS[1:]]
    return Section(
        "The alternatives",
        f"The same visits in tables of {population.shape()}: the engine's, one of plain Python dicts and one in "
        "Cython; all calls returned the same in each.",
        [Table(columns, rows)],
        [
            BarPlot(
                "Logins in each table",
                "The median of each kind of visit, by table: shorter is faster.",
                [
                    Bar(
                        f"{name}: {TITLES[kind]}",
                        medians[kind][what],
                        units.duration(medians[kind][what] / 1e3),
                        series,
                    )
                    for what, name in NAMES.items()
                    for series, kind in enumerate(KINDS)
                ],
            )
        ],
    )


def lookups(watched: Beside) -> Section:
    """Single lookups, alone and beside visits."""
    return _watched(
        "Lookups beside logins",
        "One thread calls instances(channel) as fast as it can and times each call; a call that waits is one call, so "
        "how often that happens is in the last column. Of a hundred calls, 99 took at most the time under "
        "p99. In another thread users come and go without pause. "
        "Python's threads take turns, here of at most "
        f"{units.duration(SWITCH_INTERVAL_S)} (sys.setswitchinterval), so what a call waits for is in its time: the "
        "engine's locks, and the other thread's turn.",
        "Lookup times",
        watched.lookups,
        lambda scene: f"Time of one lookup {SCENES[scene]}, over {watched.lookups[scene].count:,} lookups.",
    )


def loop(watched: Beside) -> Section:
    """Rounds of an event loop, alone and beside visits."""
    return _watched(
        "An event loop beside logins",
        "An asyncio event loop goes round with nothing to do, and each round is timed; the users come and go in a "
        "thread of its pool (asyncio.to_thread), as in the services. A long round is a stall: whatever the loop "
        "serves waits as long. Beside other work a second processor is busy with something that has nothing to do with "
        "Fanout (hashing): stalls there, and those alone, are the machine's, and are in the other lines too. Lookups "
        "and loop together saw "
        f"{sum(watched.visits.values()):,} visits.",
        "Rounds of the loop",
        watched.loop,
        lambda scene: f"Time of one round {SCENES[scene]}, over {watched.loop[scene].count:,} rounds.",
    )


def _visit(name: str, taken: list[float], floor: float, meaning: str) -> Row:
    middle = median(taken)
    shown = [units.duration(each / 1e3) for each in (middle, min(taken), max(taken))]
    return Row(name, [*shown, units.times(middle / floor)], meaning)


def _floor_name(kind: str) -> str:
    size, huge = FLOORS[kind]
    return f"floor, rows of {size} bytes{' in huge pages' if huge else ''}"


def _floor_meaning(kind: str) -> str:
    size, huge = FLOORS[kind]
    where = ", where the operating system gives huge pages" if huge else ""
    return f"One touch of a row of {size} bytes for each of the user's channels{where}."


def _watched(title: str, text: str, plot: str, seen: dict[str, Distribution], meaning: Callable[[str], str]) -> Section:
    shares = list(seen["alone"].percentiles)
    rows = [
        Row(
            SCENES[scene],
            [
                *(units.duration(each / 1e6) for each in (*of.percentiles.values(), of.longest)),
                units.count(of.over_ms_per_second),
            ],
            meaning(scene),
        )
        for scene, of in seen.items()
    ]
    return Section(
        title,
        text,
        [Table([*shares, "longest", "over 1 ms, per second"], rows)],
        [
            LinePlot(
                plot,
                "How long the slowest of each share took: the longer a line stays low, the rarer are long waits.",
                "share that was at least as fast",
                "us",
                [
                    Series(SCENES[scene], [(_nines(share), each) for share, each in of.curve])
                    for scene, of in seen.items()
                ],
                y_scale="log",
                x_ticks=_NINES,
            )
        ],
    )


def _nines(share: float) -> float:
    """0.9 is 1, 0.99 is 2: so that the rare can be seen."""
    return min(-math.log10(1 - share), _LAST_NINE) if share < 1 else _LAST_NINE
