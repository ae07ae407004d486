"""`fanout up` and `fanout serve`: what they say at the start, and of what keeps them from it."""

import json
import os
import pty
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.cli.main import app
from services.cli.run import next_steps
from services.runtime.settings import load_settings
from tests.support.cluster import COMMAND, Cluster


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FANOUT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FANOUT_LISTEN", "127.0.0.1:0")
    monkeypatch.setenv("FANOUT_WS_LISTEN", "127.0.0.1:0")
    monkeypatch.setenv("FANOUT_LOG_FORMAT", "json")


@pytest.fixture
def taken() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def fanout(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize("variable", ["FANOUT_LISTEN", "FANOUT_WS_LISTEN"])
def test_an_address_in_use_is_said_by_its_variable(monkeypatch: pytest.MonkeyPatch, taken: str, variable: str) -> None:
    monkeypatch.setenv(variable, taken)
    result = fanout("up")
    assert result.exit_code == 2
    assert (
        f"error {variable}: {taken} is in use by another process; stop that one, or set another port" in result.stderr
    )


def test_names_that_are_misspelt_are_warned_of(monkeypatch: pytest.MonkeyPatch, taken: str) -> None:
    monkeypatch.setenv("FANOUT_LISTEN", taken)  # ends the start
    monkeypatch.setenv("FANOUT_INSTANSE_ID", "x")
    assert "FANOUT_INSTANSE_ID: is no setting; did you mean FANOUT_INSTANCE_ID?" in fanout("up").stderr


def test_a_misspelt_name_is_said_beside_the_error_that_it_leads_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANOUT_JWT_ALGORITHMS", "RS256")
    monkeypatch.setenv("FANOUT_JWKS_URI", "http://127.0.0.1:1")
    result = fanout("up")
    assert result.exit_code == 2
    assert "error FANOUT_JWKS_URL: RS256 needs it" in result.stderr
    assert "weak  FANOUT_JWKS_URI: is no setting; did you mean FANOUT_JWKS_URL?" in result.stderr


def log_lines(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")]


def test_a_process_says_what_it_runs_on_and_its_name_in_each_line(
    monkeypatch: pytest.MonkeyPatch, taken: str, tmp_path: Path
) -> None:
    monkeypatch.setenv("FANOUT_LISTEN", taken)  # ends the start
    lines = log_lines(fanout("up"))
    assert {line["service"] for line in lines} == {"up"}
    (said,) = [line for line in lines if line["event"] == "backends"]
    assert said["chosen"] == [
        "log: SQLite, embedded, for one machine",
        "memberships: SQLite, embedded, for one machine",
        "messages: SQLite, embedded, for one machine",
        "bus: embedded, for one machine",
        "presence: embedded, for one machine",
        "unread: SQLite, embedded, for one machine",
        "tokens: signed with a shared secret",
    ]
    assert said["data_dir"] == str(tmp_path / "data")


@pytest.mark.parametrize("service", ["gateway", "message-writer"])
def test_a_service_that_needs_a_server_names_no_embedded_backend(service: str) -> None:
    result = fanout("serve", service)
    assert result.exit_code == 2
    assert "FANOUT_NATS_URL: services that run in separate processes need" in result.stderr
    assert "SQLite" not in result.stderr
    assert "backends" not in [line["event"] for line in log_lines(result)]


def test_the_next_step_names_the_gateway_where_it_is_not_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANOUT_LISTEN", "127.0.0.1:8080")
    assert "fanout listen bob (in another terminal" in next_steps(load_settings())[-1]
    monkeypatch.setenv("FANOUT_LISTEN", "0.0.0.0:9090")
    rest, *_, step = next_steps(load_settings())
    assert rest.endswith("http://127.0.0.1:9090")
    assert "fanout listen bob --url http://127.0.0.1:9090 (" in step


@pytest.mark.system
async def test_a_second_one_in_the_same_folder_is_told_what_to_do(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    try:
        up = await cluster.start("up", "up")
        second = subprocess.run([COMMAND, "up"], env=up.env, capture_output=True, text=True, timeout=30, check=False)  # noqa: ASYNC221 - nothing else runs in this loop
    finally:
        await cluster.kill()
    assert second.returncode == 1
    assert "stop the other `fanout up`, or set another FANOUT_DATA_DIR" in second.stderr


@pytest.mark.system
def test_on_a_terminal_the_next_steps_are_shown(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen([COMMAND, "up"], stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.DEVNULL)
    os.close(theirs)
    try:
        with open(ours, encoding="utf-8") as terminal:  # noqa: PTH123 - a descriptor
            shown = [terminal.readline().split()[0] for _ in range(4)]
            process.send_signal(signal.SIGINT)
            assert process.wait(15) == 0
    finally:
        process.kill()
        process.wait(15)
    assert shown == ["REST", "WebSocket", "Data", "Next"]
