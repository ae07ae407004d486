"""Plots as SVG that stands inside a page, whose style sheet gives it its colours."""

from html import escape
from typing import Final

from benchmarks.render.axis import Axis, axis_over
from benchmarks.report import BarPlot, LinePlot, Series

WIDTH: Final = 720
COLOURS: Final = 6
_LABEL_WIDTH: Final = 300
_VALUE_WIDTH: Final = 100
_BAR_HEIGHT: Final = 20
_BAR_PITCH: Final = 28
_PLOT_HEIGHT: Final = 320
_LEFT: Final = 72
_RIGHT: Final = 20
_BOTTOM: Final = 48
_LEGEND_HEIGHT: Final = 22
_DOTTED: Final = 10
"""Lines of so few points show each."""


def svg(plot: BarPlot | LinePlot) -> str:
    """Draw it."""
    return _bars(plot) if isinstance(plot, BarPlot) else _lines(plot)


def _bars(plot: BarPlot) -> str:
    longest = max((bar.value for bar in plot.bars), default=1.0) or 1.0
    room = WIDTH - _LABEL_WIDTH - _VALUE_WIDTH
    parts = []
    for at, bar in enumerate(plot.bars):
        top, length = at * _BAR_PITCH + 4, max(bar.value / longest * room, 1.0)
        middle = top + _BAR_HEIGHT / 2
        parts += [
            _text(_LABEL_WIDTH - 8, middle, bar.label, anchor="end"),
            _rectangle(bar.series, _LABEL_WIDTH, top, length, _BAR_HEIGHT),
            _text(_LABEL_WIDTH + length + 6, middle, bar.text),
        ]
    return _figure(plot.title, len(plot.bars) * _BAR_PITCH + 8, parts)


def _lines(plot: LinePlot) -> str:
    above = 12 + _LEGEND_HEIGHT * len(plot.series)
    top = above + _LEGEND_HEIGHT
    points = [point for series in plot.series for point in series.points]
    ticks = plot.x_ticks
    across = [x for x, _ in points] + [place for place, _ in ticks or ()]
    x = axis_over(across, _LEFT, WIDTH - _RIGHT, log=False)
    y = axis_over([y for _, y in points], top + _PLOT_HEIGHT, top, log=plot.y_scale == "log")
    parts = [
        *(_legend(at, series) for at, series in enumerate(plot.series)),
        *_horizontal_marks(y),
        *_vertical_marks(x, ticks or [(mark, _number(mark)) for mark in x.marks()], y),
        _text((x.start + x.end) / 2, y.start + 38, plot.x_label, anchor="middle"),
        _text(0, above, plot.y_label),
        *(_line(at, series, x, y) for at, series in enumerate(plot.series)),
    ]
    return _figure(f"{plot.title}: {plot.y_label} by {plot.x_label}", top + _PLOT_HEIGHT + _BOTTOM, parts)


def _legend(at: int, series: Series) -> str:
    middle = 10 + at * _LEGEND_HEIGHT
    return _rectangle(at, _LEFT, middle - 5, 18, 10) + _text(_LEFT + 26, middle, series.name)


def _horizontal_marks(y: Axis) -> list[str]:
    parts = []
    for mark in y.marks():
        place = y.at(mark)
        parts.append(f'<path class="grid" d="M{_LEFT} {place:.1f}H{WIDTH - _RIGHT}"/>')
        parts.append(_text(_LEFT - 8, place, _number(mark), anchor="end"))
    return parts


def _vertical_marks(x: Axis, ticks: list[tuple[float, str]], y: Axis) -> list[str]:
    parts = []
    for value, said in ticks:
        place = x.at(value)
        parts.append(f'<path class="grid" d="M{place:.1f} {y.end:.1f}V{y.start:.1f}"/>')
        parts.append(_text(place, y.start + 18, said, anchor="middle"))
    return parts


def _line(at: int, series: Series, x: Axis, y: Axis) -> str:
    places = " ".join(f"{x.at(across):.1f},{y.at(up):.1f}" for across, up in series.points)
    dots = "".join(
        f'<circle class="fill-{at % COLOURS}" cx="{x.at(across):.1f}" cy="{y.at(up):.1f}" r="3.5"/>'
        for across, up in (series.points if len(series.points) <= _DOTTED else ())
    )
    return f'<polyline class="line-{at % COLOURS}" points="{places}"/>{dots}'


def _rectangle(series: int, x: float, y: float, width: float, height: float) -> str:
    fill = f"fill-{series % COLOURS}"
    return f'<rect class="{fill}" x="{x}" y="{y}" width="{width:.1f}" height="{height}" rx="2"/>'


def _text(x: float, y: float, said: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" dy="0.35em" text-anchor="{anchor}">{escape(said)}</text>'


def _figure(title: str, height: float, parts: list[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _number(value: float) -> str:
    for unit, length in (("G", 1e9), ("M", 1e6), ("K", 1e3)):
        if abs(value) >= length:
            return f"{value / length:g} {unit}"
    return f"{value:g}"
