"""Lines for people: the severity first, results on standard output, complaints on standard error."""

import pytest

from services.cli.lines import complain, say


def test_a_line_begins_with_its_severity(capsys: pytest.CaptureFixture[str]) -> None:
    say("ok", "the log answers")
    say("error", "it does not")
    assert capsys.readouterr() == ("ok    the log answers\nerror it does not\n", "")


def test_complaints_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    complain("bad", "a setting")
    assert capsys.readouterr() == ("", "bad   a setting\n")


def test_a_long_line_with_brackets_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    text = "[bold]a value[/bold] " * 30
    say("weak", text)
    assert capsys.readouterr().out == f"weak  {text}\n"
