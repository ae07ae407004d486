"""A report: what was measured, what it means, and whether it is as good as it should be."""

from typing import Any, Literal

import msgspec

from benchmarks import units
from benchmarks.machine import Machine


class Target(msgspec.Struct, frozen=True):
    """A figure beside what it should be."""

    what: str
    wanted: str
    measured: str
    met: bool | None
    """None: not judged, because the run was smaller than what the target is about."""


class Row(msgspec.Struct, frozen=True):
    """A line of a table."""

    name: str
    cells: list[str]
    meaning: str
    """In one plain sentence."""
    part: bool = False
    """Of the nearest line above that is none: its figure is in that one's."""


class Table(msgspec.Struct, frozen=True):
    """Figures of one kind."""

    columns: list[str]
    """Above the cells; the name and the meaning have none."""
    rows: list[Row]


class Bar(msgspec.Struct, frozen=True):
    """One bar of a plot."""

    label: str
    value: float
    text: str
    """The value as it is shown."""
    series: int = 0
    """Which colour."""


class BarPlot(msgspec.Struct, frozen=True, tag="bars"):
    """Horizontal bars."""

    title: str
    meaning: str
    bars: list[Bar]


class Series(msgspec.Struct, frozen=True):
    """One line of a plot."""

    name: str
    points: list[tuple[float, float]]


class LinePlot(msgspec.Struct, frozen=True, tag="lines"):
    """Lines over an axis."""

    title: str
    meaning: str
    x_label: str
    y_label: str
    series: list[Series]
    y_scale: Literal["linear", "log"] = "linear"
    x_ticks: list[tuple[float, str]] | None = None
    """Where the axis has marks, and what they say; by default round numbers."""


class Section(msgspec.Struct, frozen=True):
    """A part of a report."""

    title: str
    text: str
    tables: list[Table] = []
    plots: list[BarPlot | LinePlot] = []


class Report(msgspec.Struct, frozen=True):
    """All that a benchmark says."""

    name: str
    title: str
    summary: str
    background: str
    """What a reader has to know who knows nothing of it."""
    machine: Machine
    began: str
    """RFC 3339, UTC."""
    seconds: float
    settings: dict[str, Any]
    targets: list[Target]
    sections: list[Section]
    figures: dict[str, Any]
    """As they were measured, for machines: seconds, bytes and counts unless a name says otherwise."""


def at_most(what: str, measured: float, limit: float, unit: str, *, judged: bool) -> Target:
    """A target that is met from below."""
    return _target(
        what, f"at most {units.digits(limit)} {unit}", measured, unit, met=measured <= limit if judged else None
    )


def at_least(what: str, measured: float, limit: float, unit: str, *, judged: bool) -> Target:
    """A target that is met from above."""
    return _target(
        what, f"at least {units.digits(limit)} {unit}", measured, unit, met=measured >= limit if judged else None
    )


def _target(what: str, wanted: str, measured: float, unit: str, *, met: bool | None) -> Target:
    return Target(what, wanted, f"{units.digits(measured)} {unit}", met)
