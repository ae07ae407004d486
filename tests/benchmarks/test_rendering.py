"""How a report looks: figures, axes, plots, results, and the bars of what is under way."""

import re
import sys
from io import StringIO
from xml.etree import ElementTree as ET

import pytest
from msgspec.structs import replace
from rich.console import Console

from benchmarks import units
from benchmarks.machine import this_machine
from benchmarks.render import terminal
from benchmarks.render.html import html, svg
from benchmarks.render.words import settings_line
from benchmarks.report import Figure, Plot, Report, Row, Table, at_least, at_most, distribution, exact

LINES = Plot("lines", "ms", {"a": [(1.0, 1.0), (3.0, 1_000.0)]})
LONG = "a name that is much longer than what any column has room for, and is not to be cut"


def report() -> Report:
    rows = [
        Row("<name>", [Figure(1e6, "bytes")], "A note."),
        Row("inner", [Figure(5e5, "bytes")], "A part.", part=True),
        Row(LONG, ["1 & more"]),
    ]
    return Report(
        title="A & B",
        summary="In <short>.",
        targets=[
            at_most("held", 1e6, 2e6, "bytes", full=True),
            at_least("done", 1, 2, "/s", full=True),
            at_least("small", 1, 2, "times", full=False),
            exact("answers", "all 7"),
        ],
        tables=[Table("part", "A text.", ["cell"], rows, bars=[0], plots=[LINES]), Table("words", "No rows.")],
        figures={},
        name="sizing",
        background="What it is about.",
        settings={"population": {"users": 1_000}},
        began="2026-01-01T00:00:00+00:00",
        seconds=1.5,
    )


def document(page: str) -> ET.Element:
    return ET.fromstring(page.removeprefix("<!DOCTYPE html>\n"))  # noqa: S314 - made a moment ago


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (Figure(0, "bytes"), "0 bytes"),
        (Figure(1_234_567_890, "bytes"), "1.23 GB"),
        (Figure(-2_500_000, "bytes/s"), "-2.5 MB/s"),
        (Figure(2e15, "bytes"), "2,000,000 GB"),
        (Figure(999_600, "count"), "1,000 K"),
        (Figure(12_345_678, "/s"), "12.3 M/s"),
        (Figure(12_345_678, "number"), "12,345,678"),
        (Figure(0.00125, "s"), "1.25 ms"),
        (Figure(0, "s"), "0 ns"),
        (Figure(2.345, "times"), "2.35 times"),
        (Figure(1.0, "times"), "1 time"),
        (Figure(0.00001234, "times"), "0.0000123 times"),
        (Figure(10.24, "KiB"), "10.2 KiB"),
        (Figure(3.456, "%"), "3.46 %"),
        (units.counted(1, "user"), "1 user"),
        (units.counted(1_200, "user"), "1,200 users"),
    ],
)
def test_figures_have_three_digits_and_a_unit(shown: object, expected: str) -> None:
    assert str(shown) == expected


def test_lines_go_through_their_points_between_powers_of_ten() -> None:
    drawn = ET.fromstring(svg(LINES))  # noqa: S314 - drawn a moment ago
    line = drawn.find("polyline")
    assert line is not None
    (left, low), (right, high) = (map(float, point.split(",")) for point in line.attrib["points"].split())
    assert left < right
    texts = {text.text: float(text.attrib["y"]) for text in drawn.iter("text")}
    assert texts["1"] == low > texts["10"] > texts["1 K"] == high
    assert {"99.9 %", "ms", "a"} <= texts.keys()
    ET.fromstring(svg(Plot("", "s", {"a": []})))  # noqa: S314


def test_a_distribution_shows_the_rare_and_leaves_out_what_took_no_time() -> None:
    plot = distribution("", "ms", {"a": [(0.5, 0.0), (0.9, 1.0), (0.999, 2.0), (1.0, 3.0)]}, 10)
    assert [taken for _, taken in plot.lines["a"]] == [10, 20, 30]
    assert [nines for nines, _ in plot.lines["a"]] == pytest.approx([1, 3, 6])


def test_the_page_says_what_is_met_and_shows_markup_as_text() -> None:
    page = html(report())
    words = " ".join(document(page).itertext())
    for said in ("A & B", "In <short>.", "users 1,000", "What it is about.", "<name>", "1 & more", LONG, "No rows."):
        assert said in words
    assert page.count('class="part"') == 1
    assert [page.count(f'<tr class="{name}"') for name in ("met", "missed", "quiet")] == [2, 1, 1]
    assert page.index("<h2>part</h2>") < page.index("<h2>Targets</h2>")


def test_a_bar_is_as_long_as_its_figure_and_each_cell_has_a_heading() -> None:
    page = html(report())
    longer, shorter = map(float, re.findall(r"width:([\d.]+)%", page))
    assert longer == pytest.approx(2 * shorter)
    widths = [[len(row) for row in table.iter("tr")] for table in document(page).iter("table")]
    assert widths == [[3] * 4, [4] * 5]


def printed(monkeypatch: pytest.MonkeyPatch, width: int) -> str:
    out = StringIO()
    monkeypatch.setattr(terminal, "console", lambda: Console(file=out, width=width))
    terminal.print_report(report())
    return out.getvalue()


def test_the_tables_are_printed_with_their_results(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = printed(monkeypatch, 160)
    assert re.search(r"<name> +1 MB +A note\.", shown)
    assert "\n   inner " in shown
    for result in (" met", "not met", "no target at this size"):
        assert result in shown


@pytest.mark.parametrize("width", [160, 80, 50, 30])
def test_nothing_is_cut_however_narrow_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = printed(monkeypatch, width)
    assert "…" not in shown
    together = re.sub(r"\s+", "", shown)
    for said in (LONG, "A note.", "1 & more", "no target at this size"):
        assert said.replace(" ", "") in together or all(word in together for word in said.split())
    assert max(map(len, shown.splitlines())) <= width


@pytest.mark.parametrize(("columns", "width"), [("70", 70), ("", 160)])
@pytest.mark.usefixtures("capsys")
def test_without_a_terminal_columns_says_how_wide(columns: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert terminal.console().width == width


@pytest.mark.parametrize("load", [1.0, 2.1])
def test_a_busy_machine_is_warned_of(load: float, monkeypatch: pytest.MonkeyPatch) -> None:
    made = replace(report(), machine=replace(this_machine(), load=load, cores=2, huge_pages="never"))
    monkeypatch.setattr(sys.modules[__name__], "report", lambda: made)
    for shown in (printed(monkeypatch, 1_000), html(made)):
        assert ("The machine was busy" in shown) == (load > 1)
        assert f"load average {load:.1f} on 2 cores" in shown
        assert "huge pages: never" in shown


def test_how_it_was_run_is_said_in_words_and_figures() -> None:
    settings = {
        "plain_share": 1 / 2,
        "multiples": (0.25, 1.0),
        "full": True,
        "rate": 2_000.0,
        "of": {"users": 1_000},
    }
    assert settings_line(settings) == "plain share 0.5; multiples 0.25, 1.0; full True; rate 2,000.0; of users 1,000"
