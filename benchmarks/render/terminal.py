"""A report on a terminal, and how far a run is; where there is no terminal, plain lines."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table as Grid
from rich.text import Text

from benchmarks import apart
from benchmarks.render.html import ABOUT_TARGETS, described, verdict
from benchmarks.report import Report, Table, Target
from benchmarks.stages import Stages

_PLAIN_WIDTH: Final = 160
_MEANING_WIDTH: Final = 40
_STYLES: Final = {True: "green", False: "bold red", None: "dim"}


def console(*, stderr: bool = False) -> Console:
    """One that cuts no figure off where the output goes to a file."""
    made = Console(stderr=stderr, highlight=False)
    return made if made.is_terminal else Console(stderr=stderr, highlight=False, width=_PLAIN_WIDTH)


@contextmanager
def stages_shown() -> Iterator[Stages]:
    """Bars while something long is at work, on standard error; without a terminal, a line for each stage."""
    err = console(stderr=True)
    if not err.is_terminal:
        yield lambda title: _said(err, title)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[what]}"))
    with Progress(*columns, TimeElapsedColumn(), console=err, transient=True) as bars:
        yield lambda title: _bar(bars, title)


def print_report(report: Report) -> None:
    """The tables of a report; its plots are in the HTML."""
    out = console()
    out.print(Text(report.title, style="bold"))
    out.print(Text(report.summary))
    out.print(Text(f"{report.background} {described(report.machine)}", style="dim"))
    for section in report.sections:
        _print_heading(out, section.title, section.text)
        for table in section.tables:
            out.print(_fitting(out, table))
    if report.targets:
        _print_heading(out, "Targets", ABOUT_TARGETS)
        out.print(_targets(report.targets))
    out.print()


def _print_heading(out: Console, title: str, text: str) -> None:
    out.print()
    out.print(Text(title, style="bold"))
    out.print(Text(text, style="dim"))
    out.print()


def _fitting(out: Console, table: Table) -> Grid:
    """With what each line says, where that leaves the figures their room."""
    plain = _grid(table)
    return _grid(table, meanings=True) if out.width - out.measure(plain).maximum >= _MEANING_WIDTH else plain


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
