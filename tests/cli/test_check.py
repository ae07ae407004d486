"""`fanout check` and `fanout migrate`: a line for each setting and dependency, and an exit code for scripts."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.main import app
from services.runtime.settings import Settings

SECRET = "never-to-be-printed-not-even-by-accident"


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FANOUT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("FANOUT_JWT_SECRET", SECRET)


def run(command: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [command])
    return result.exit_code, result.output


def test_every_setting_and_every_dependency_has_a_line() -> None:
    code, output = run("check")
    assert code == 0
    for name in Settings.model_fields:
        assert f"FANOUT_{name.upper()}=" in output
    for dependency in ("log", "bus", "presence", "memberships", "messages", "tokens"):
        assert f"ok    {dependency}" in output


def test_what_may_be_secret_is_said_to_be_set_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANOUT_NATS_URL", f"nats://user:{SECRET}@127.0.0.1:1")
    code, output = run("check")
    assert code == 1
    assert "FANOUT_JWT_SECRET=(set)" in output
    assert "bad   log" in output
    assert SECRET not in output


def test_settings_that_cannot_be_run_with_are_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANOUT_LISTEN", "nowhere")
    monkeypatch.setenv("FANOUT_MONGO_URL", "mongodb://127.0.0.1")
    code, output = run("check")
    assert code == 2
    assert "FANOUT_LISTEN: must be host:port" in output
    assert "FANOUT_MONGO_URL: there is no adapter" in output


def test_migrate_creates_the_stores(tmp_path: Path) -> None:
    assert run("migrate")[0] == 0
    assert {"log.db", "memberships.db", "messages.db"} <= {path.name for path in (tmp_path / "data").iterdir()}
    assert run("migrate")[0] == 0
