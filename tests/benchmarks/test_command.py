"""`fanout bench`, as it is typed, at sizes that take a moment."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner, Result

from benchmarks import command
from benchmarks.case import Case
from benchmarks.cases import pipeline
from benchmarks.command import CASES
from benchmarks.live.pipeline import PipelineOptions
from services.cli.main import app
from tests.benchmarks.test_rendering import report

SMALL = ["--users", "4000", "--channels", "200000", "--memberships", "400000", "--instances", "10", "--quick"]
OF_THE_LIBRARY = [
    ("sizing", SMALL),
    ("login", [*SMALL, "--visit", "2000"]),
    ("route", ["--quick"]),
    ("churn", ["--quick", "--operations", "25000"]),
    ("accepting", ["--quick"]),
    ("stalls", ["--quick", "--users", "3000", "--channels", "10000"]),
]
"""Those that need no server."""
NAMES = [case.name for case in CASES]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)


def fanout(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["bench", *arguments])


@pytest.mark.parametrize(("name", "arguments"), OF_THE_LIBRARY, ids=[name for name, _ in OF_THE_LIBRARY])
def test_a_benchmark_prints_its_tables_and_writes_its_reports(name: str, arguments: Sequence[str]) -> None:
    result = fanout(name, *arguments, "--json", "figures.json")
    assert result.exit_code == 0, result.output
    page = Path(f"fanout-bench-{name}-quick.html")
    assert str(page.resolve()) in "".join(result.stdout.split("\n"))
    figures = json.loads(Path("figures.json").read_bytes())
    assert figures["name"] == name
    assert figures["title"].startswith("Quick run")
    numbers = re.findall(r"^(\d+)/(\d+) ", result.stderr, re.MULTILINE)
    assert numbers == [(str(at + 1), str(len(numbers))) for at in range(len(numbers))]
    assert_complete(figures, result.stdout)
    assert_stands_alone(page.read_text())


def assert_complete(figures: dict[str, Any], printed: str) -> None:
    for table in figures["tables"]:
        assert table["title"] in printed
        assert table["text"]
        for row in table["rows"]:
            assert len(row["cells"]) == len(table["columns"])
            assert not row["note"] or row["note"].endswith(".")
    assert any(table["plots"] or table["bars"] for table in figures["tables"])


def assert_stands_alone(page: str) -> None:
    """Well-formed, without anything that a browser would fetch."""
    document = ET.fromstring(page.removeprefix("<!DOCTYPE html>\n"))  # noqa: S314 - made a moment ago
    assert document.find(".//figure") is not None
    assert {"script", "link", "img", "iframe", "image", "use"}.isdisjoint(element.tag for element in document.iter())
    assert not {"src", "href"} & {name for element in document.iter() for name in element.attrib}
    assert not re.search(r"https?:|@import|url\(", page)
    assert "prefers-color-scheme" in page


def test_a_size_that_does_not_fit_is_refused_with_one_that_would(tmp_path: Path) -> None:
    result = fanout("sizing", "--users", "100000000", "--channels", "4000000000", "--memberships", "30000000000")
    assert result.exit_code == 1
    said = " ".join(result.stderr.split())
    assert "30,000,000,000 memberships" in said
    proposed = re.search(r"--users (\d+) --channels (\d+) --memberships (\d+)", said)
    assert proposed is not None
    assert 0 < int(proposed[3]) < 30_000_000_000
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["sizing", "--channels", "10", "--memberships", "9"], "--memberships 9 must be from 10, since"),
        (
            ["sizing", "--users", "8", "--channels", "8", "--memberships", "65"],
            "--memberships 65 must be from 8, since every channel has a member, to 64",
        ),
        (["sizing", "--quick", "--channels", "10", "--memberships", "9"], "--quick takes a fiftieth"),
        (["login", "--channels", "10", "--memberships", "20", "--users", "5"], "--channels 10 is less than --visit"),
    ],
)
def test_what_cannot_be_is_refused_in_words(arguments: list[str], reason: str) -> None:
    result = fanout(*arguments)
    assert result.exit_code == 1
    assert reason in " ".join(result.stderr.split())
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("options", "taken"),
    [
        (PipelineOptions(), (4_000, 200, 200.0, 2.0)),
        (PipelineOptions(events=60, rate=5, seconds=0.5), (60, 200, 5.0, 0.5)),
    ],
)
def test_a_quick_run_of_the_pipeline_takes_a_part_and_never_too_little(
    options: PipelineOptions, taken: tuple[float, ...]
) -> None:
    quick = pipeline.quick(options)
    assert (quick.events, quick.channels, quick.rate, quick.seconds) == taken


def test_users_in_every_channel_are_measured_at_each_size() -> None:
    result = fanout("sizing", "--users", "8", "--channels", "8", "--memberships", "64")
    assert result.exit_code == 0, result.output
    assert "1 membership:" in result.stdout


@pytest.mark.parametrize("option", ["--html", "--json"])
@pytest.mark.parametrize("path", ["nowhere/x", "."])
def test_a_file_that_cannot_be_written_is_refused_first(option: str, path: str) -> None:
    result = fanout("sizing", option, path)
    assert result.exit_code == fanout("sizing", "--users", "0").exit_code == 2
    assert result.stdout == ""
    assert path in result.stderr


def test_a_refused_run_leaves_no_file_and_keeps_an_old_one(tmp_path: Path) -> None:
    Path("old.json").write_text("old")
    result = fanout("sizing", "--memberships", "1", "--html", "new.html", "--json", "old.json")
    assert result.exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["old.json"]
    assert Path("old.json").read_text() == "old"


def test_a_disk_that_is_full_is_an_error_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Case, "measure", lambda self, options, stages: report())  # noqa: ARG005 - as it is called
    result = fanout("route", "--json", "/dev/full")
    assert result.exit_code == 1
    assert result.stderr == "error [Errno 28] No space left on device\n"


def test_who_stops_reading_gets_no_traceback() -> None:
    script = f"{sys.executable} -c 'from services.cli.main import app; app()' bench route --quick | head -1"
    ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert ran.stdout.startswith("Quick run")
    assert all(re.match(r"\d/\d ", line) for line in ran.stderr.splitlines())
    assert Path("fanout-bench-route-quick.html").exists()


def test_an_interrupted_run_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(case: object, options: object, stages: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Case, "measure", interrupted)
    result = fanout("route")
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr == "error interrupted, no report was written\n"
    assert not list(tmp_path.iterdir())


def test_all_runs_each(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[object] = []
    monkeypatch.setattr(command, "measure", lambda *arguments, **_: shown.append(arguments))
    assert fanout("all", "--quick").exit_code == 0
    assert len(shown) == len(NAMES)


@pytest.mark.parametrize("name", ["", *NAMES])
def test_help_explains(name: str) -> None:
    result = fanout(*name.split(), "--help")
    assert result.exit_code == 0
    assert len(result.stdout.split()) > 30


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("sizing", "how fast the table fills and answers, and the same in plain Python dicts"),
        ("login", "measured in the same run; the same"),
        ("route", "with one thread and two; and the same in plain Python dicts and in Cython"),
    ],
)
def test_help_breaks_no_line_in_mid_sentence(name: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "240")
    assert sentence in fanout(name, "--help").stdout


def test_no_other_command_imports_a_benchmark() -> None:
    script = (
        "import sys; from services.cli.main import app; print([name for name in sys.modules if 'benchmarks' in name])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == "[]\n"
