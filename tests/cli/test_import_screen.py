"""What an import shows on a terminal, and in a file or a pipe."""

import io

from rich.console import Console

from services.cli.import_screen import LINE_EVERY_S, ImportScreen, counts
from services.importing.tally import Tally


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


def shown(*, terminal: bool) -> str:
    out, clock = io.StringIO(), Clock()
    console = Console(file=out, force_terminal=terminal, width=200, soft_wrap=True)
    with ImportScreen("rows.jsonl", console, clock) as screen:
        screen.resumed(Tally(lines=100))
        screen.progress(Tally(lines=100), 0.1)
        clock.now += LINE_EVERY_S
        screen.remark(120, "blank")
        screen.problem(130, "there is no channel x")
        screen.progress(Tally(lines=1_100, new=1_000, present=98, skipped=1, blank=1), 0.5)
        screen.progress(Tally(lines=1_200), None)
        screen.settling()
    return out.getvalue()


def test_a_pipe_gets_plain_lines_from_time_to_time() -> None:
    assert shown(terminal=False).splitlines() == [
        "ok    goes on after 100, where an earlier run ended",
        "weak  120: blank",
        "bad   130: there is no channel x",
        "rows.jsonl: 1,100 read, 1,000 new, 98 present before, 1 skipped, 1 blank, 100/s, 50%",
    ]


def test_a_pipe_gets_no_control_characters() -> None:
    assert all(character.isprintable() or character == "\n" for character in shown(terminal=False))


def test_a_terminal_gets_a_bar_that_is_gone_at_the_end() -> None:
    text = shown(terminal=True)
    assert "\x1b[" in text
    assert "130: there is no channel x" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") > 0, "the cursor is shown again"


def test_a_file_that_was_imported_before_is_named_so() -> None:
    out = io.StringIO()
    with ImportScreen("rows.jsonl", Console(file=out, width=200, soft_wrap=True)) as screen:
        screen.resumed(Tally(lines=100, finished=True))
    assert "imported before" in out.getvalue()


def test_counts_name_what_there_is() -> None:
    assert counts(Tally(lines=3, new=2, present=1)) == "3 read, 2 new, 1 present before"
    assert counts(Tally(lines=4, skipped=2, blank=2)) == "4 read, 0 new, 0 present before, 2 skipped, 2 blank"
