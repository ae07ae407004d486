"""A report as one HTML page that needs nothing else: no script, no font, no picture from elsewhere."""

import math
from html import escape
from importlib.resources import files
from string import Template
from typing import Final

from benchmarks import units
from benchmarks.render import words
from benchmarks.report import Figure, Plot, Report, Table

_CLASSES: Final = {True: "met", False: "missed", None: "quiet"}
_COLOURS: Final = 5
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _BOTTOM, _LINE = 480, 240, 56, 16, 44, 20
"""The size of a plot is small, so that letters stay readable on a phone."""
_TICKS: Final = ("0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %")
_SHARE: Final = "share that was at least as fast"


def html(report: Report) -> str:
    """The page: the template `report.html`, filled in."""
    busy = words.warning(report.machine)
    targets = _table(words.targets(report), [_CLASSES[target.met] for target in report.targets])
    page = Template(files("benchmarks.render").joinpath("report.html").read_text())
    return page.substitute(
        title=escape(report.title),
        summary=escape(report.summary),
        warning=f'<p class="warning">{escape(busy)}</p>' if busy else "",
        background=escape(report.background),
        conditions=escape(words.conditions(report)),
        tables="".join(map(_table, report.tables)) + (targets if report.targets else ""),
        settings=escape(words.settings_line(report.settings)),
    )


def _table(table: Table, classes: list[str] | None = None) -> str:
    noted = any(row.note for row in table.rows)
    lines = ""
    for row, kind in zip(table.rows, classes or ["part" if row.part else "" for row in table.rows], strict=True):
        cells = "".join(f"<td>{escape(str(cell))}</td>" for cell in row.cells)
        note = f'<td class="note">{escape(row.note)}</td>' if noted else ""
        lines += f'<tr class="{kind}"><th scope="row">{escape(row.name)}</th>{cells}{note}</tr>'
    head = "".join(f"<th>{escape(column)}</th>" for column in ["", *table.columns, *(["note"] if noted else [])])
    grid = f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'
    plots = "".join(f"<figure><h3>{escape(plot.title)}</h3>{svg(plot)}</figure>" for plot in table.plots)
    title = f"<h2>{escape(table.title)}</h2><p>{escape(table.text)}</p>"
    return title + _bars(table) + plots + (grid if lines else "")


def _bars(table: Table) -> str:
    """A bar for each figure of the columns that are drawn: a label that wraps, and a length in per cent."""
    drawn = [
        (row.name if len(table.bars) == 1 else f"{row.name}: {table.columns[column]}", cell, at)
        for row in table.rows
        for at, column in enumerate(table.bars)
        if isinstance(cell := row.cells[column], Figure)
    ]
    longest = max((cell.value for _, cell, _ in drawn), default=0.0) or 1.0
    bars = "".join(
        f'<span>{escape(label)}</span><span><i class="c{at}" '
        f'style="width:{max(cell.value, 0.0) / longest * 75:.1f}%"></i> {escape(str(cell))}</span>'
        for label, cell, at in drawn
    )
    return f'<figure class="bars">{bars}</figure>' if drawn else ""


def svg(plot: Plot) -> str:
    """The drawing, with a legend above the lines; the vertical axis is logarithmic, between powers of ten."""
    top = _LINE * (len(plot.lines) + 1)
    bottom, right = top + _HEIGHT, _WIDTH - _RIGHT
    taken = [math.log10(up) for points in plot.lines.values() for _, up in points] or [0.0]
    low = math.floor(min(taken))
    high = max(math.ceil(max(taken)), low + 1)

    def x(nines: float) -> float:
        return _LEFT + (right - _LEFT) * nines / len(_TICKS)

    def y(value: float) -> float:
        return top + _HEIGHT * (high - math.log10(value)) / (high - low)

    parts = [_text(0, top - _LINE / 2, plot.unit), _text((_LEFT + right) / 2, bottom + 34, _SHARE, "middle")]
    for mark in (10.0**power for power in range(low, high + 1)):
        parts.append(f'<path class="grid" d="M{_LEFT} {y(mark):.1f}H{right}"/>')
        parts.append(_text(_LEFT - 6, y(mark), units.count(mark), "end"))
    for at, label in enumerate(_TICKS):
        parts.append(f'<path class="grid" d="M{x(at):.1f} {top}V{bottom}"/>')
        parts.append(_text(x(at), bottom + 14, label, "middle"))
    for at, (name, points) in enumerate(plot.lines.items()):
        middle, places = _LINE * (at + 0.5), " ".join(f"{x(across):.1f},{y(up):.1f}" for across, up in points)
        colour = f"c{at % _COLOURS}"
        parts.append(f'<rect class="{colour}" x="{_LEFT}" y="{middle - 5}" width="16" height="10"/>')
        parts.append(_text(_LEFT + 24, middle, name))
        parts.append(f'<polyline class="{colour}" points="{places}"/>')
    title = f"<title>{escape(f'{plot.title}: {plot.unit} by {_SHARE}')}</title>"
    return f'<svg viewBox="0 0 {_WIDTH} {bottom + _BOTTOM}" role="img">{title}{"".join(parts)}</svg>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" dy="0.35em" text-anchor="{anchor}">{escape(text)}</text>'
