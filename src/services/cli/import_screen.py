"""The output of an import: a progress bar on a terminal, and a line from time to time elsewhere."""

from collections.abc import Callable
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from fanout import machine
from services.cli.lines import styled
from services.importing.tally import Tally

LINE_EVERY_S: Final = 10.0
"""Seconds between two lines of progress, where the output is no terminal."""


class ImportScreen:
    """A `Watcher` that prints to standard error. Use it as a context.

    Args:
        name: of the file.
        console: where it prints.
        clock: monotonic seconds.
    """

    def __init__(self, name: str, console: Console, clock: Callable[[], float] = machine.monotonic_s) -> None:
        self._name = name
        self._console = console
        self._clock = clock
        self._tally = Tally()
        self._began: tuple[float, int] | None = None
        self._next_line = clock() + LINE_EVERY_S
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            columns = (SpinnerColumn(), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task(self._name, total=None)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def resumed(self, tally: Tally) -> None:
        """See `Watcher`."""
        ended = f"goes on after {tally.lines:,}, where an earlier run ended"
        done = "the file was imported before, and nothing is written; --restart imports it again"
        self._print(styled("ok", done if tally.finished else ended))

    def remark(self, number: int, text: str) -> None:
        """See `Watcher`."""
        self._print(styled("weak", f"{number}: {text}"))

    def problem(self, number: int, text: str) -> None:
        """See `Watcher`."""
        self._print(styled("bad", f"{number}: {text}"))

    def settling(self) -> None:
        """See `Watcher`."""
        if self._bar is not None:
            self._bar.update(self._task, description=f"{self._name}: waiting until every change is published")

    def progress(self, tally: Tally, share: float | None) -> None:
        """See `Watcher`."""
        now = self._clock()
        if self._began is None:
            self._began = (now, tally.lines)
        text = self._described(tally, now)
        if self._bar is not None:
            self._bar.update(self._task, description=text, completed=share or 0.0, total=None if share is None else 1.0)
        elif now >= self._next_line:
            self._next_line = now + LINE_EVERY_S
            self._print(Text(text if share is None else f"{text}, {share:.0%}"))

    def _described(self, tally: Tally, now: float) -> str:
        began, before = self._began or (now, tally.lines)
        rate = (tally.lines - before) / (now - began) if now > began else 0.0
        return f"{self._name}: {counts(tally)}, {rate:,.0f}/s"

    def _print(self, text: Text) -> None:
        self._console.print(text)


def counts(tally: Tally) -> str:
    """Say what became of the records."""
    parts = [f"{tally.lines:,} read", f"{tally.new:,} new", f"{tally.present:,} present before"]
    if tally.skipped:
        parts.append(f"{tally.skipped:,} skipped")
    if tally.blank:
        parts.append(f"{tally.blank:,} blank")
    return ", ".join(parts)
