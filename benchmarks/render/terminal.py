"""A report on a terminal; where there is no terminal, 160 columns wide."""

import os
import sys
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from benchmarks.render import words
from benchmarks.report import Report, Row, Table

_PLAIN_WIDTH: Final = 160
_NOTE_WIDTH: Final = 40
_NAME_WIDTH: Final = 30
"""Columns that a name may be wrapped to before a table is printed as a list."""
_STYLES: Final = {True: "green", False: "bold red", None: "dim"}


def console() -> Console:
    """One that is wide enough where the output goes to a file; COLUMNS says otherwise."""
    plain = not sys.stdout.isatty() and not os.environ.get("COLUMNS")
    return Console(highlight=False, width=_PLAIN_WIDTH if plain else None)


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
        _print_table(out, words.targets(report), [_STYLES[target.met] for target in report.targets])
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
    if any(row.note for row in table.rows) and room >= _NOTE_WIDTH:
        out.print(_grid(table, styles, notes=True))
        return
    longest = max(len(row.name) for row in table.rows)
    out.print(_grid(table, styles) if room + max(0, longest - _NAME_WIDTH) >= 0 else _list(table))
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
    for row, style in zip(table.rows, styles or [""] * len(table.rows), strict=True):
        *cells, last = (Text(str(cell)) for cell in row.cells)
        grid.add_row(_name(row), *cells, Text(last.plain, style), *([Text(row.note)] if notes else []))
    return grid


def _name(row: Row) -> Text:
    return Text(f"  {row.name}" if row.part else row.name)


def _list(table: Table) -> Text:
    """Each row as lines of its own."""
    cells = [zip(table.columns, map(str, row.cells), strict=True) for row in table.rows]
    lines = ["".join(f"\n    {column}: {cell}" for column, cell in of if cell) for of in cells]
    return Text("\n".join(f"{_name(row)}{line}" for row, line in zip(table.rows, lines, strict=True)))
