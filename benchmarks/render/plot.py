"""A line plot as SVG, coloured by the style sheet of the page that contains it."""

import math
from html import escape
from typing import Final

from benchmarks import units
from benchmarks.report import Plot, Series

COLOURS: Final = 6
_WIDTH: Final = 480
"""Of the drawing; small, so that its letters stay readable on a phone."""
_HEIGHT: Final = 240
_LEFT, _RIGHT, _BOTTOM, _LINE = 56, 16, 44, 20
_MARKS: Final = 5
_DOTTED: Final = 10
"""A line of so few points shows each."""


class Axis:
    """From a value to a place: a linear axis begins at zero, a logarithmic one ends at powers of ten.

    Args:
        values: all that it shows.
        start: the place of its low end.
        end: the place of its high end.
        log: whether it is logarithmic.
    """

    def __init__(self, values: list[float], start: float, end: float, *, log: bool = False) -> None:
        self.start, self.end, self._log = start, end, log
        self._low, self._high = 0.0, (max(values, default=1.0) or 1.0) * 1.05
        if log:
            positive = [math.log10(value) for value in values if value > 0] or [0.0]
            self._low = math.floor(min(positive))
            self._high = max(math.ceil(max(positive)), self._low + 1)

    def at(self, value: float) -> float:
        """The place of a value; a value beyond an end is at the end."""
        if self._log:
            value = math.log10(value) if value > 0 else self._low
        share = (value - self._low) / (self._high - self._low)
        return self.start + (self.end - self.start) * min(max(share, 0.0), 1.0)

    def marks(self) -> list[float]:
        """Round values between the ends."""
        if self._log:
            return [10.0**power for power in range(round(self._low), round(self._high) + 1)]
        rough = self._high / _MARKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
        return [step * number for number in range(math.floor(self._high / step) + 1)]


def svg(plot: Plot) -> str:
    """The drawing, with a legend above the lines."""
    top = _LINE * (len(plot.series) + 1)
    points = [point for series in plot.series for point in series.points]
    x = Axis([across for across, _ in [*points, *plot.ticks]], _LEFT, _WIDTH - _RIGHT)
    y = Axis([up for _, up in points], top + _HEIGHT, top, log=plot.log)
    ticks = plot.ticks or [(mark, units.mark(mark)) for mark in x.marks()]
    parts = [
        *(_legend(at, series.name) for at, series in enumerate(plot.series)),
        _text(0, top - _LINE / 2, plot.y_label),
        *(_grid(f"M{_LEFT} {y.at(mark):.1f}H{_WIDTH - _RIGHT}") for mark in y.marks()),
        *(_text(_LEFT - 6, y.at(mark), units.mark(mark), "end") for mark in y.marks()),
        *(_grid(f"M{x.at(mark):.1f} {y.end:.1f}V{y.start:.1f}") for mark, _ in ticks),
        *(_text(x.at(mark), y.start + 14, label, "middle") for mark, label in ticks),
        _text((x.start + x.end) / 2, y.start + 34, plot.x_label, "middle"),
        *(_line(at, series, x, y) for at, series in enumerate(plot.series)),
    ]
    title = f"<title>{escape(f'{plot.title}: {plot.y_label} by {plot.x_label}')}</title>"
    return f'<svg viewBox="0 0 {_WIDTH} {top + _HEIGHT + _BOTTOM}" role="img">{title}{"".join(parts)}</svg>'


def _legend(at: int, name: str) -> str:
    middle = _LINE * (at + 0.5)
    box = f'<rect class="fill-{at % COLOURS}" x="{_LEFT}" y="{middle - 5}" width="16" height="10"/>'
    return box + _text(_LEFT + 24, middle, name)


def _grid(path: str) -> str:
    return f'<path class="grid" d="{path}"/>'


def _line(at: int, series: Series, x: Axis, y: Axis) -> str:
    places = [(x.at(across), y.at(up)) for across, up in series.points]
    dots = "".join(f'<circle class="fill-{at % COLOURS}" cx="{a:.1f}" cy="{b:.1f}" r="3"/>' for a, b in places)
    drawn = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
    return f'<polyline class="line-{at % COLOURS}" points="{drawn}"/>{dots if len(places) <= _DOTTED else ""}'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" dy="0.35em" text-anchor="{anchor}">{escape(text)}</text>'
