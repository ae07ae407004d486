"""How a report looks: figures, axes, plots, verdicts, and the bars of what is under way."""

import re
import sys
from io import StringIO
from xml.etree import ElementTree as ET

import pytest
from benchmarks.render.axis import axis_over
from benchmarks.render.svg import svg
from msgspec.structs import replace
from rich.console import Console

from benchmarks import units
from benchmarks.machine import this_machine
from benchmarks.render import terminal
from benchmarks.render.html import html, settings_line, warning
from benchmarks.report import Bar, BarPlot, LinePlot, Report, Row, Section, Series, Table, at_least, at_most

BARS = BarPlot("bars", "What bars say.", [Bar("<one>", 1.0, "1 & more"), Bar("two", 2.0, "2", 1)])
LINES = LinePlot("lines", "What lines say.", "x", "y", [Series("a", [(1.0, 1.0), (10.0, 1_000.0)])], y_scale="log")


def report() -> Report:
    targets = [at_most("met", 1, 2, "MB", judged=True), at_least("missed", 1, 2, "MB", judged=True)]
    table = Table(["cell"], [Row("<name>", ["1"], "A meaning."), Row("inner", ["0.5"], "A part.", part=True)])
    return Report(
        name="sizing",
        title="A & B",
        summary="In <short>.",
        background="What it is about.",
        machine=this_machine(),
        began="2026-01-01T00:00:00+00:00",
        seconds=1.5,
        settings={"population": {"users": 1_000}},
        targets=[*targets, at_least("small", 1, 2, "MB", judged=False)],
        sections=[Section("part", "A text.", [table], [BARS, LINES])],
        figures={},
    )


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (units.size(0), "0 bytes"),
        (units.size(999), "999 bytes"),
        (units.size(1_234_567_890), "1.23 GB"),
        (units.size(-2_500_000), "-2.5 MB"),
        (units.size(2e15), "2,000,000 GB"),
        (units.count(999_600), "1,000 K"),
        (units.count(12_345_678), "12.3 M"),
        (units.count(0), "0"),
        (units.duration(0.00125), "1.25 ms"),
        (units.duration(5e-8), "50 ns"),
        (units.duration(0), "0 ns"),
        (units.times(2.345), "2.35 times"),
        (units.times(1.0), "1 time"),
        (units.times(0.00001234), "0.0000123 times"),
        (units.digits(717_000), "717,000"),
        (units.digits(7.17e9), "7,170,000,000"),
        (units.counted(1, "user"), "1 user"),
        (units.counted(1_200, "user"), "1,200 users"),
        (units.of_size(0.125), "1/8 of the size"),
        (units.of_size(1.0), "the whole size"),
    ],
)
def test_figures_have_three_digits_and_a_unit(shown: str, expected: str) -> None:
    assert shown == expected


def test_a_linear_axis_begins_at_zero_and_has_round_marks() -> None:
    axis = axis_over([3.0, 42.0], 0.0, 100.0, log=False)
    assert axis.at(0.0) == 0.0
    assert axis.marks() == [0.0, 10.0, 20.0, 30.0, 40.0]
    assert axis.at(1_000.0) == 100.0


def test_a_logarithmic_axis_has_powers_of_ten() -> None:
    axis = axis_over([3.0, 420.0], 0.0, 300.0, log=True)
    assert axis.marks() == [1.0, 10.0, 100.0, 1_000.0]
    assert axis.at(10.0) == pytest.approx(100.0)
    assert axis.at(0.0) == 0.0


def test_bars_are_as_long_as_their_values() -> None:
    drawn = ET.fromstring(svg(BARS))  # noqa: S314 - drawn a moment ago
    one, two = (float(bar.attrib["width"]) for bar in drawn.iter("rect"))
    assert two == pytest.approx(2 * one, rel=0.01)
    assert {"<one>", "1 & more"} <= {text.text for text in drawn.iter("text")}


def test_lines_go_through_their_points_and_plots_without_any_are_drawn() -> None:
    line = ET.fromstring(svg(LINES)).find("polyline")  # noqa: S314 - drawn a moment ago
    assert line is not None
    (left, low), (right, high) = (map(float, point.split(",")) for point in line.attrib["points"].split())
    assert left < right
    assert low > high
    for empty in (BarPlot("", "", []), LinePlot("", "", "x", "y", [Series("a", [])])):
        ET.fromstring(svg(empty))  # noqa: S314


def test_the_unit_of_an_axis_is_no_entry_of_the_legend() -> None:
    drawn = ET.fromstring(svg(LINES))  # noqa: S314 - drawn a moment ago
    places = {text.text: float(text.attrib["y"]) for text in drawn.iter("text")}
    assert places["a"] < places["y"] < places["1 K"]


def test_the_page_says_what_is_met_and_shows_markup_as_text() -> None:
    page = html(report())
    words = " ".join(ET.fromstring(page.removeprefix("<!DOCTYPE html>\n")).itertext())  # noqa: S314
    assert "A & B" in words
    assert "In <short>." in words
    assert "users 1,000" in words
    assert "What it is about." in words
    assert "A target is what the project holds itself to" in words
    assert page.count('class="part"') == 1
    assert page.count('class="met"') == page.count('class="missed"') == 1
    assert "not judged at this size" in words


def test_a_terminal_shows_bars_and_a_file_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    for force, expected in ((True, "\x1b["), (False, "1/2 first ...\n")):
        out = StringIO()
        made = Console(file=out, force_terminal=force, width=100)
        monkeypatch.setattr(terminal, "console", lambda *, stderr, made=made: made)  # noqa: ARG005 - as it is called
        with terminal.stages_shown(2) as stages:
            stages("first")(0.5, "half")
            stages("second")(1.0, "")
        assert expected in out.getvalue()
        assert "1/2 first" in out.getvalue()
        assert "2/2 second" in out.getvalue()


def printed(monkeypatch: pytest.MonkeyPatch, width: int) -> str:
    out = StringIO()
    monkeypatch.setattr(terminal, "console", lambda: Console(file=out, width=width))
    terminal.print_report(report())
    return out.getvalue()


def test_the_tables_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = printed(monkeypatch, 160)
    assert "<name>" in shown
    assert "\n   inner " in shown
    assert "\n\nTargets\nA target is what" in shown
    for verdict in ("met", "not met", "not judged at this size"):
        assert verdict in shown


def test_what_figures_say_is_printed_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.search(r"<name> +1 +A meaning\.", printed(monkeypatch, 80))


def test_what_figures_say_is_printed_below_where_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = printed(monkeypatch, 50)
    assert "what it says" not in narrow
    assert "\n<name>: A meaning.\ninner: A part.\n" in narrow


def test_a_sentence_is_printed_once() -> None:
    rows = [Row("a", [], "Same."), Row("b", [], "Same.")]
    assert terminal._meanings(Table([], rows)) == ["Same."]
    assert terminal._meanings(Table([], [*rows, Row("c", [], "Other.")])) == ["a; b: Same.", "c: Other."]


@pytest.mark.parametrize(("columns", "width"), [("70", 70), ("", 160), ("0", 160), ("wide", 160), (None, 160)])
def test_without_a_terminal_columns_says_how_wide(
    columns: str | None, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    assert terminal.console().width == width


@pytest.mark.parametrize(("load", "busy"), [(0.4, False), (1.0, False), (1.1, True), (5.04, True)])
def test_a_busy_machine_is_warned_of(load: float, busy: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001
    made = replace(report(), machine=replace(this_machine(), load=load, cores=2, huge_pages="never"))
    monkeypatch.setattr(sys.modules[__name__], "report", lambda: made)
    for shown in (printed(monkeypatch, 1_000), html(made)):
        assert ("The machine was busy" in shown) == busy
        assert f"load average {load:.1f} on 2 cores" in shown
        assert "transparent huge pages: never (switched off, so logins are some 25 % slower)" in shown


def test_targets_come_after_what_was_measured() -> None:
    page = html(report())
    assert page.index("<h2>part</h2>") < page.index("<h2>Targets</h2>")


def test_how_it_was_run_is_said_in_words_and_figures() -> None:
    settings = {"plain_share": 1 / 2, "multiples": (0.25, 1.0), "judged": True, "rate": 2_000.0, "of": {"users": 1_000}}
    assert settings_line(settings) == "plain share 0.5; multiples 0.25, 1; judged yes; rate 2,000; of (users 1,000)"


@pytest.mark.parametrize(
    ("load", "said"), [(2.1, "a third longer."), (3.5, "twice as long."), (5.0, "several times as long.")]
)
def test_the_busier_the_machine_the_longer_the_times_that_are_expected(load: float, said: str) -> None:
    machine = replace(this_machine(), load=load, cores=2)
    assert str(warning(machine)).endswith(said)
