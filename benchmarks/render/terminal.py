"""A report on a terminal, and how far a run is; where there is no terminal, plain lines."""

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
from benchmarks.render.html import ABOUT_TARGETS, described, verdict, warning
from benchmarks.report import Report, Table, Target
from benchmarks.stages import Stages

_PLAIN_WIDTH: Final = 160
_MEANING_WIDTH: Final = 40
_STYLES: Final = {True: "green", False: "bold red", None: "dim"}


def console(*, stderr: bool = False) -> Console:
    """One that cuts no figure off where the output goes to a file; COLUMNS says otherwise."""
    made = Console(stderr=stderr, highlight=False)
    columns = os.environ.get("COLUMNS", "")
    as_it_is = made.is_terminal or (columns.isdecimal() and int(columns))
    return made if as_it_is else Console(stderr=stderr, highlight=False, width=_PLAIN_WIDTH)


@contextmanager
def stages_shown(how_many: int) -> Iterator[Stages]:
    """Bars while something long is at work, on standard error; without a terminal, a line for each stage.

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
    if busy := warning(report.machine):
        out.print(Text(busy, style="bold yellow"))
    out.print(Text(f"{report.background} {described(report.machine)}", style="dim"))
    for section in report.sections:
        _print_heading(out, section.title, section.text)
        for at, table in enumerate(section.tables):
            if at:
                out.print()
            _print_table(out, table)
    if report.targets:
        _print_heading(out, "Targets", ABOUT_TARGETS)
        out.print(_targets(report.targets))
    out.print()


def _print_heading(out: Console, title: str, text: str) -> None:
    out.print()
    out.print(Text(title, style="bold"))
    out.print(Text(text, style="dim"))
    out.print()


def _print_table(out: Console, table: Table) -> None:
    """With what each line says beside the figures, where that leaves them their room, and else under them."""
    plain = _grid(table)
    if out.width - out.measure(plain).maximum >= _MEANING_WIDTH:
        out.print(_grid(table, meanings=True))
        return
    out.print(plain)
    for line in _meanings(table):
        out.print(Text(line, style="dim"))


def _meanings(table: Table) -> list[str]:
    """Each sentence once, with the lines of which it is said unless that is all."""
    names: dict[str, list[str]] = {}
    for row in table.rows:
        names.setdefault(row.meaning, []).append(row.name)
    if len(names) == 1 < len(table.rows):
        return list(names)
    return [f"{'; '.join(of)}: {meaning}" for meaning, of in names.items()]


def _grid(table: Table, *, meanings: bool = False) -> Grid:
    grid = Grid("", *table.columns, box=box.SIMPLE_HEAD, show_edge=False)
    for column in grid.columns[1:]:
        column.justify = "right"
    if meanings:
        grid.add_column("what it says", style="dim")
    for row in table.rows:
        name = f"  {row.name}" if row.part else row.name
        grid.add_row(name, *row.cells, *([row.meaning] if meanings else []))
    return grid


def _targets(targets: list[Target]) -> Grid:
    grid = Grid("target", "wanted", "measured", "", box=box.SIMPLE_HEAD, show_edge=False, title_justify="left")
    for target in targets:
        grid.add_row(target.what, target.wanted, target.measured, Text(verdict(target.met), style=_STYLES[target.met]))
    return grid


def _said(err: Console, title: str) -> apart.Progress:
    err.print(f"{title} ...")
    return lambda share, what: None  # noqa: ARG005 - the line above has said all


def _bar(bars: Progress, title: str) -> apart.Progress:
    task = bars.add_task(title, total=1.0, what="")
    return lambda share, what: bars.update(task, completed=share, what=what)
