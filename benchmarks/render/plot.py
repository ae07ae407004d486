"""A plot as SVG, coloured by the style sheet of the page that contains it."""

import math
from html import escape
from typing import Final

from benchmarks import units
from benchmarks.report import Plot

COLOURS: Final = 6
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _BOTTOM, _LINE = 480, 240, 56, 16, 44, 20
"""Small, so that letters stay readable on a phone."""
_TICKS: Final = ("0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %")
_NINES: Final = 6.0
_SHARE: Final = "share that was at least as fast"


def svg(plot: Plot) -> str:
    """The drawing, with a legend above the lines; the vertical axis is logarithmic, between powers of ten."""
    top = _LINE * (len(plot.lines) + 1)
    taken = [math.log10(up) for points in plot.lines.values() for _, up in points] or [0.0]
    low = math.floor(min(taken))
    high = max(math.ceil(max(taken)), low + 1)

    def x(nines: float) -> float:
        return _LEFT + (_WIDTH - _RIGHT - _LEFT) * nines / _NINES

    def y(value: float) -> float:
        return top + _HEIGHT * (high - math.log10(value)) / (high - low)

    bottom, parts = top + _HEIGHT, [_text(0, top - _LINE / 2, plot.unit)]
    for mark in (10.0**power for power in range(low, high + 1)):
        parts.append(f'<path class="grid" d="M{_LEFT} {y(mark):.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(_text(_LEFT - 6, y(mark), units.count(mark), "end"))
    for at, label in enumerate(_TICKS):
        parts.append(f'<path class="grid" d="M{x(at):.1f} {top}V{bottom}"/>')
        parts.append(_text(x(at), bottom + 14, label, "middle"))
    for at, (name, points) in enumerate(plot.lines.items()):
        middle, places = _LINE * (at + 0.5), " ".join(f"{x(across):.1f},{y(up):.1f}" for across, up in points)
        parts.append(f'<rect class="fill-{at % COLOURS}" x="{_LEFT}" y="{middle - 5}" width="16" height="10"/>')
        parts.append(_text(_LEFT + 24, middle, name))
        parts.append(f'<polyline class="line-{at % COLOURS}" points="{places}"/>')
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, bottom + 34, _SHARE, "middle"))
    title = f"<title>{escape(f'{plot.title}: {plot.unit} by {_SHARE}')}</title>"
    return f'<svg viewBox="0 0 {_WIDTH} {bottom + _BOTTOM}" role="img">{title}{"".join(parts)}</svg>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" dy="0.35em" text-anchor="{anchor}">{escape(text)}</text>'
