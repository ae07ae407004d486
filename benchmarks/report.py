"""The report of a benchmark case: targets, and tables of figures with notes and plots. `benchmarks.render` shows it."""

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
    """A line of a table: a part is contained in the nearest row above that is none."""

    name: str
    cells: list[Cell]
    note: str = ""
    part: bool = False


class Plot(msgspec.Struct, frozen=True):
    """Durations by the share of all that were at least as fast, with room for the rare ones: see `distribution`."""

    title: str
    unit: str
    lines: dict[str, list[tuple[float, float]]]
    """Points (nines, duration) by name: 1 is 90 %, 2 is 99 %."""


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
    """A figure beside what it should be; met is None where the run was smaller than what the target is about."""

    what: str
    wanted: str
    measured: str
    met: bool | None


class Report(msgspec.Struct, frozen=True):
    """All that a benchmark case says; the fields with a default are of the run, and `Case.measure` adds them.

    `figures` are for machines, as they were measured: seconds, bytes and counts unless a name says otherwise.
    """

    title: str
    summary: str
    targets: list[Target]
    tables: list[Table]
    figures: dict[str, Any]
    name: str = ""
    background: str = ""
    settings: dict[str, Any] = {}
    machine: Machine = msgspec.field(default_factory=this_machine)
    began: str = ""
    seconds: float = 0.0


def at_most(what: str, measured: float, limit: float, unit: Unit, *, full: bool) -> Target:
    """A target that is met from below."""
    met = measured <= limit if full else None
    return Target(what, f"at most {Figure(limit, unit)}", str(Figure(measured, unit)), met)


def at_least(what: str, measured: float, limit: float, unit: Unit, *, full: bool) -> Target:
    """A target that is met from above."""
    met = measured >= limit if full else None
    return Target(what, f"at least {Figure(limit, unit)}", str(Figure(measured, unit)), met)


def exact(what: str, measured: str) -> Target:
    """A target that is checked at every size: a run that misses it ends with an error and has no report."""
    return Target(f"{what} (exact at any size)", "all", measured, met=True)


def distribution(title: str, unit: str, curves: dict[str, list[tuple[float, float]]], scale: float = 1.0) -> Plot:
    """A plot of curves of points (share of all, duration), by name; `scale` turns durations into the unit.

    A duration of 0 is below the axis and left out, and no more points are kept than can be seen.
    """
    lines = {}
    for name, curve in curves.items():
        seen = [*curve[: -1 : max(1, len(curve) // _CURVE_POINTS)], *curve[-1:]]
        lines[name] = [(-math.log10(max(1 - share, 1e-6)), taken * scale) for share, taken in seen if taken > 0]
    return Plot(title, unit, lines)
