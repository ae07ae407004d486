"""What a benchmark case says: targets, and tables of figures with notes and plots. `benchmarks.render` shows it."""

import math
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal

import msgspec

from benchmarks import units
from benchmarks.machine import Machine, this_machine

Unit = Literal["bytes", "bytes/s", "KiB", "s", "count", "number", "/s", "times", "%"]
_SHOWN: Final[dict[Unit, Callable[[float], str]]] = {
    "bytes": units.size,
    "bytes/s": lambda value: f"{units.size(value)}/s",
    "KiB": lambda value: f"{units.digits(value)} KiB",
    "s": units.duration,
    "count": units.count,
    "number": lambda value: f"{value:,.0f}",
    "/s": lambda value: f"{units.count(value)}/s",
    "times": units.times,
    "%": lambda value: f"{units.digits(value)} %",
}
_NINES: Final = ((0.0, "0 %"), (1.0, "90 %"), (2.0, "99 %"), (3.0, "99.9 %"), (4.0, "99.99 %"), (5.0, "99.999 %"))
_LAST_NINE: Final = 6.0
_CURVE_POINTS: Final = 200


class Figure(msgspec.Struct, frozen=True):
    """A value with its unit; as text, it has three digits."""

    value: float
    unit: Unit

    def __str__(self) -> str:
        return _SHOWN[self.unit](self.value)


Cell = Figure | str


def figures(unit: Unit, values: Iterable[float]) -> list[Cell]:
    """Cells of one unit."""
    return [Figure(value, unit) for value in values]


class Row(msgspec.Struct, frozen=True):
    """A line of a table."""

    name: str
    cells: list[Cell]
    note: str = ""
    """What the figures say, in a plain sentence."""
    part: bool = False
    """Whether its figure is contained in that of the nearest row above that is no part."""


class Series(msgspec.Struct, frozen=True):
    """One line of a plot."""

    name: str
    points: list[tuple[float, float]]


class Plot(msgspec.Struct, frozen=True):
    """Lines over an axis."""

    title: str
    note: str
    x_label: str
    y_label: str
    series: list[Series]
    log: bool = False
    """Whether the vertical axis is logarithmic."""
    ticks: list[tuple[float, str]] = []
    """Where the horizontal axis has marks, and their labels; by default at round numbers."""


class Table(msgspec.Struct, frozen=True):
    """Figures of one kind, with what a reader needs to understand them."""

    title: str
    text: str
    columns: list[str] = []
    """Headings of the cells; the name and the note have none."""
    rows: list[Row] = []
    bars: list[int] = []
    """Columns that are also drawn as bars; their cells are figures of one unit."""
    plots: list[Plot] = []


class Target(msgspec.Struct, frozen=True):
    """A figure beside what it should be."""

    what: str
    wanted: str
    measured: str
    met: bool | None
    """None: not judged, because the run was smaller than what the target is about."""


class Report(msgspec.Struct, frozen=True):
    """All that a benchmark case says. The runner adds the fields that have a default."""

    title: str
    summary: str
    targets: list[Target]
    tables: list[Table]
    figures: dict[str, Any]
    """As they were measured, for machines: seconds, bytes and counts unless a name says otherwise."""
    name: str = ""
    background: str = ""
    """What a reader needs to know who has never heard of Fanout."""
    settings: dict[str, Any] = {}
    machine: Machine = msgspec.field(default_factory=this_machine)
    began: str = ""
    """RFC 3339, UTC."""
    seconds: float = 0.0


def at_most(what: str, measured: float, limit: float, unit: Unit, *, judged: bool) -> Target:
    """A target that is met from below."""
    return _target(what, "at most", measured, limit, unit, met=measured <= limit if judged else None)


def at_least(what: str, measured: float, limit: float, unit: Unit, *, judged: bool) -> Target:
    """A target that is met from above."""
    return _target(what, "at least", measured, limit, unit, met=measured >= limit if judged else None)


def exact(what: str, measured: str) -> Target:
    """A target that is checked at every size: a run that misses it ends with an error and has no report."""
    return Target(f"{what} (exact at any size)", "all", measured, met=True)


def _target(what: str, side: str, measured: float, limit: float, unit: Unit, *, met: bool | None) -> Target:
    return Target(what, f"{side} {Figure(limit, unit)}", str(Figure(measured, unit)), met)


def distribution(title: str, unit: str, curves: dict[str, list[tuple[float, float]]]) -> Plot:
    """A plot of durations by the share of all that were at least as fast, with room for the rare ones.

    Args:
        title: of the plot.
        unit: of the durations.
        curves: points (share from 0 to 1, duration) by name; a duration of 0 is below the axis and left out.
    """
    series = [Series(name, [(_nines(share), taken) for share, taken in of if taken > 0]) for name, of in curves.items()]
    note = "The duration that a share of all did not exceed: the longer a line stays low, the rarer are long waits."
    return Plot(title, note, "share that was at least as fast", unit, series, log=True, ticks=list(_NINES))


def thinned(curve: list[tuple[float, float]], scale: float) -> list[tuple[float, float]]:
    """As many points of a curve as a plot can show, its last one included, the durations times `scale`."""
    step = max(1, len(curve) // _CURVE_POINTS)
    return [(share, taken * scale) for share, taken in [*curve[:-1:step], *curve[-1:]]]


def _nines(share: float) -> float:
    """0.9 is 1, 0.99 is 2."""
    return min(-math.log10(1 - share), _LAST_NINE) if share < 1 else _LAST_NINE
