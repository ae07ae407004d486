"""Sub-commands that entry points add to `fanout`."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from services.cli import plugins
from services.cli.main import app

extra = typer.Typer(help="Something extra.")


@extra.command()
def greet(name: str) -> None:
    """Greet somebody."""
    typer.echo(f"hello {name}")


@extra.command()
def leave() -> None:
    """Say goodbye."""


no_command = "a text"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """The entry points of the group, which a test adds to."""
    points: list[EntryPoint] = []
    monkeypatch.setattr(plugins, "entry_points", lambda group: [each for each in points if each.group == group])
    return points


def run(*arguments: str) -> str:
    return CliRunner().invoke(app, arguments).output


def test_one_of_an_entry_point_stands_beside_the_others_and_runs(installed: list[EntryPoint]) -> None:
    installed.append(EntryPoint("extra", f"{__name__}:extra", plugins.GROUP))
    assert "Something extra." in run("--help")
    assert run("extra", "greet", "ann") == "hello ann\n"


def test_none_takes_the_name_of_one_of_its_own(installed: list[EntryPoint]) -> None:
    installed.append(EntryPoint("token", f"{__name__}:extra", plugins.GROUP))
    assert "Something extra." not in run("--help")
    assert "greet" not in run("token", "--help")
    assert get_command(app).list_commands(None).count("token") == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "value", ["no_such_module:app", f"{__name__}:no_such_name", f"{__name__}:greet", f"{__name__}:no_command"]
)
def test_one_that_cannot_be_loaded_hides_no_other(installed: list[EntryPoint], value: str) -> None:
    installed.append(EntryPoint("broken", value, plugins.GROUP))
    shown = CliRunner().invoke(app, ["--help"])
    assert shown.exit_code == 0
    assert "token" in shown.stdout
    assert f"the command broken cannot be loaded from {value}: " in shown.stderr
    assert CliRunner().invoke(app, ["broken"]).exit_code == 2


def test_other_commands_import_none_of_the_benchmarks() -> None:
    program = (
        "import sys; from services.cli.main import app; app(['token', 'bob'], standalone_mode=False);"
        "print([name for name in sys.modules if name.split('.')[0] == 'benchmarks'])"
    )
    environment = {"FANOUT_JWT_SECRET": "a-secret-that-is-long-enough-for-hs256"}
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.splitlines()[-1] == "[]"


def test_the_benchmarks_are_one_of_them() -> None:
    assert "sizing" in run("bench", "--help")
