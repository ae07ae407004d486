"""A report as one HTML page that needs nothing else: no script, no font, no picture from elsewhere."""

from html import escape
from importlib.resources import files
from string import Template
from typing import Final

from benchmarks.render import words
from benchmarks.render.plot import COLOURS, svg
from benchmarks.report import Cell, Figure, Plot, Report, Table

_CLASSES: Final = {True: "met", False: "missed", None: "quiet"}
_TARGET_COLUMNS: Final = ["wanted", "measured", "verdict"]


def html(report: Report) -> str:
    """The page: the template `report.html`, filled in."""
    busy = words.warning(report.machine)
    page = Template(files("benchmarks.render").joinpath("report.html").read_text())
    return page.substitute(
        title=escape(report.title),
        summary=escape(report.summary),
        warning=f'<p class="warning">{escape(busy)}</p>' if busy else "",
        background=escape(report.background),
        conditions=escape(words.conditions(report)),
        tables="".join(map(_table, report.tables)),
        targets=_targets(report),
        settings=escape(words.settings_line(report.settings)),
    )


def _targets(report: Report) -> str:
    if not report.targets:
        return ""
    lines = [
        _line(_CLASSES[each.met], each.what, [each.wanted, each.measured, words.VERDICTS[each.met]], _TARGET_COLUMNS)
        for each in report.targets
    ]
    return f"<h2>Targets</h2><p>{escape(words.ABOUT_TARGETS)}</p>{_grid(_TARGET_COLUMNS, lines)}"


def _table(table: Table) -> str:
    columns = [*table.columns, *(["note"] if any(row.note for row in table.rows) else [])]
    lines = [
        _line("part" if row.part else "", row.name, [*row.cells, row.note][: len(columns)], columns)
        for row in table.rows
    ]
    title = f"<h2>{escape(table.title)}</h2><p>{escape(table.text)}</p>"
    return "".join([title, _bars(table), *map(_plot, table.plots), _grid(columns, lines) if lines else ""])


def _grid(columns: list[str], lines: list[str]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in ["", *columns])
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _line(kind: str, name: str, cells: list[Cell], columns: list[str]) -> str:
    """Each cell has its heading with it, which a narrow page shows beside it."""
    shown = "".join(
        f'<td data-label="{escape(column)}">{escape(str(cell))}</td>'
        for column, cell in zip(columns, cells, strict=True)
    )
    return f'<tr class="{kind}"><th scope="row">{escape(name)}</th>{shown}</tr>'


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
        f'<span>{escape(label)}</span><span><i class="bar-{at % COLOURS}" '
        f'style="width:{max(cell.value, 0.0) / longest * 75:.1f}%"></i> {escape(str(cell))}</span>'
        for label, cell, at in drawn
    )
    return f'<figure class="bars">{bars}</figure>' if drawn else ""


def _plot(plot: Plot) -> str:
    return f"<figure><h3>{escape(plot.title)}</h3>{svg(plot)}</figure>"
