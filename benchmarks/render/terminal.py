"""A report on a terminal, and the progress of a run; where there is no terminal, plain lines."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Final

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table as Grid
from rich.text import Text

from benchmarks import apart
from benchmarks.render import words
from benchmarks.report import Report, Row, Table

_PLAIN_WIDTH: Final = 160
_NOTE_WIDTH: Final = 40
_NAME_WIDTH: Final = 30
"""Columns that a name may be wrapped to before a table is printed as a list."""
_STYLES: Final = {True: "green", False: "bold red", None: "dim"}


def console(*, stderr: bool = False) -> Console:
    """One that is wide enough where the output goes to a file; COLUMNS says otherwise."""
    made = Console(stderr=stderr, highlight=False)
    columns = os.environ.get("COLUMNS", "")
    as_it_is = made.is_terminal or (columns.isdecimal() and int(columns))
    return made if as_it_is else Console(stderr=stderr, highlight=False, width=_PLAIN_WIDTH)


@contextmanager
def stages_shown(how_many: int) -> Iterator[apart.Stages]:
    """Bars on standard error while something long is at work; without a terminal, a line for each stage.

    Args:
        how_many: stages there will be.
    """
    err = console(stderr=True)
    numbers = count(1)
    if not err.is_terminal:
        yield lambda title: _said(err, f"{next(numbers)}/{how_many} {title}")
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[what]}"))
    with Progress(*columns, TimeElapsedColumn(), console=err, transient=True) as bars:
        yield lambda title: _bar(bars, f"{next(numbers)}/{how_many} {title}")


def print_report(report: Report) -> None:
    """The tables of a report; its plots are in the HTML."""
    out = console()
    out.print(Text(report.title, style="bold"))
    out.print(Text(report.summary))
    if busy := words.warning(report.machine):
        out.print(Text(busy, style="bold yellow"))
    out.print(Text(f"{report.background} {words.conditions(report)}", style="dim"))
    for table in report.tables:
        _print_table(out, table)
    if report.targets:
        rows = [Row(each.what, [each.wanted, each.measured, words.VERDICTS[each.met]]) for each in report.targets]
        styles = [_STYLES[target.met] for target in report.targets]
        targets = Table("Targets", words.ABOUT_TARGETS, ["wanted", "measured", "verdict"], rows)
        _print_table(out, targets, styles)
    out.print()


def _print_table(out: Console, table: Table, styles: list[str] | None = None) -> None:
    """The notes beside the figures where there is room, and else below; a table too wide for the terminal as a list."""
    out.print()
    out.print(Text(table.title, style="bold"))
    out.print(Text(table.text, style="dim"))
    if not table.rows:
        return
    out.print()
    room = out.width - out.measure(_grid(table, styles)).maximum
    noted = any(row.note for row in table.rows)
    if noted and room >= _NOTE_WIDTH:
        out.print(_grid(table, styles, notes=True))
        return
    longest = max(len(row.name) for row in table.rows)
    if room + max(0, longest - _NAME_WIDTH) >= 0:
        out.print(_grid(table, styles))
    else:
        out.print(_list(table))
    for line in _notes(table):
        out.print(Text(line, style="dim"))


def _notes(table: Table) -> list[str]:
    """Each sentence once, with the rows that it is about unless that is all of them."""
    names: dict[str, list[str]] = {}
    for row in table.rows:
        names.setdefault(row.note, []).append(row.name)
    if len(names) == 1 < len(table.rows):
        return [note for note in names if note]
    return [f"{'; '.join(of)}: {note}" for note, of in names.items() if note]


def _grid(table: Table, styles: list[str] | None, *, notes: bool = False) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False)
    grid.add_column("", overflow="fold")
    for column in table.columns:
        grid.add_column(column, justify="right", overflow="fold")
    if notes:
        grid.add_column("note", style="dim", overflow="fold")
    for at, row in enumerate(table.rows):
        cells = [Text(str(cell)) for cell in row.cells]
        if styles:
            cells[-1].stylize(styles[at])
        grid.add_row(_name(row), *cells, *([Text(row.note)] if notes else []))
    return grid


def _name(row: Row) -> Text:
    return Text(f"  {row.name}" if row.part else row.name)


def _list(table: Table) -> Text:
    """Each row as lines of its own."""
    lines = []
    for row in table.rows:
        lines.append(_name(row).plain)
        lines += [f"    {column}: {cell}" for column, cell in zip(table.columns, row.cells, strict=True) if str(cell)]
    return Text("\n".join(lines))


def _said(err: Console, title: str) -> apart.Progress:
    err.print(f"{title} ...")
    return lambda share, what: None  # noqa: ARG005 - the line above has said all


def _bar(bars: Progress, title: str) -> apart.Progress:
    task = bars.add_task(title, total=1.0, what="")
    return lambda share, what: bars.update(task, completed=share, what=what)
