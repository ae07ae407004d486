"""A report on a terminal; where there is no terminal, 160 columns wide."""

import os
import sys
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from benchmarks.render import words
from benchmarks.report import Report, Table

_PLAIN_WIDTH: Final = 160
_NOTE_WIDTH: Final = 40
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
        _print_table(out, table, [""] * len(table.rows))
    if report.targets:
        _print_table(out, words.targets(report), [_STYLES[target.met] for target in report.targets])
    out.print()


def _print_table(out: Console, table: Table, styles: list[str]) -> None:
    """The notes beside the figures where there is room, and else below."""
    out.print()
    out.print(Text(table.title, style="bold"))
    out.print(Text(table.text, style="dim"))
    if not table.rows:
        return
    out.print()
    noted = [row for row in table.rows if row.note]
    beside = out.width - out.measure(_grid(table, styles, notes=False)).maximum >= _NOTE_WIDTH
    out.print(_grid(table, styles, notes=beside and bool(noted)))
    for row in noted if not beside else []:
        out.print(Text(f"{row.name}: {row.note}", style="dim"))


def _grid(table: Table, styles: list[str], *, notes: bool) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False)
    grid.add_column("", overflow="fold")
    for column in table.columns:
        grid.add_column(column, justify="right", overflow="fold")
    if notes:
        grid.add_column("note", style="dim", overflow="fold")
    for row, style in zip(table.rows, styles, strict=True):
        *cells, last = (Text(str(cell)) for cell in row.cells)
        name = Text(f"  {row.name}" if row.part else row.name)
        grid.add_row(name, *cells, Text(last.plain, style), *([Text(row.note)] if notes else []))
    return grid
