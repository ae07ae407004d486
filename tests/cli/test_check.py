"""`fanout check` and `fanout migrate`: a line for each setting and dependency, and an exit code for scripts."""

import asyncio
import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.main import app
from services.composition.backends import Backends, Found
from services.composition.table import BACKENDS
from services.runtime.settings import Settings
from tests.support.cluster import Cluster
from tests.support.issuer import new_key, running_issuer
from tests.support.servers import NatsServer, free_port

SECRET = "never-to-be-printed-not-even-by-accident"
DEPENDENCIES = ("log", "bus", "presence", "memberships", "messages", "unread", "tokens")


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FANOUT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FANOUT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("FANOUT_JWT_SECRET", SECRET)


def run(command: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [command])
    return result.exit_code, result.output


def line_of(output: str, name: str) -> str:
    """The one line about a dependency, its spaces evened."""
    (line,) = [" ".join(words) for line in output.splitlines() if (words := line.split())[1:2] == [name]]
    return line


def test_every_setting_and_every_dependency_has_a_line() -> None:
    code, output = run("check")
    assert code == 0
    for name in Settings.model_fields:
        assert f"FANOUT_{name.upper()}=" in output
    for dependency in DEPENDENCIES:
        assert line_of(output, dependency).startswith("ok ")
    assert "weak" not in output


def test_looking_makes_nothing_and_says_what_would_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FANOUT_JWT_SECRET")
    code, output = run("check")
    assert code == 0
    assert f"{tmp_path / 'data' / 'log.db'} is created at the first start" in line_of(output, "log")
    assert f"puts in {tmp_path / 'data' / 'jwt-secret'}" in line_of(output, "tokens")
    assert list(tmp_path.iterdir()) == []


def test_looking_at_what_is_there_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FANOUT_JWT_SECRET")
    assert run("migrate")[0] == 0
    before = {path: path.read_bytes() for path in (tmp_path / "data").iterdir()}
    code, output = run("check")
    assert code == 0
    assert f"embedded in {tmp_path / 'data' / 'messages.db'}" in line_of(output, "messages")
    assert {path: path.read_bytes() for path in (tmp_path / "data").iterdir()} == before


def test_a_file_of_a_newer_version_and_one_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with sqlite3.connect(tmp_path / "data" / "messages.db") as newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()
    (tmp_path / "data" / "memberships.db").write_text("this is no database, however long it may be" * 100)
    code, output = run("check")
    assert code == 1
    assert "schema 99" in line_of(output, "messages")
    assert "is not a database" in line_of(output, "memberships")


def test_a_data_dir_that_cannot_be_used_is_a_matter_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    code, output = run("check")
    assert code == 2
    assert line_of(output, "log").startswith("bad log FANOUT_DATA_DIR: ")


def test_what_may_be_secret_is_said_to_be_set_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANOUT_NATS_URL", f"nats://user:{SECRET}@127.0.0.1:1")
    monkeypatch.setenv("FANOUT_REDIS_URL", f"redis://:{SECRET}@127.0.0.1:1/0?password={SECRET}")
    code, output = run("check")
    assert code == 1
    assert "FANOUT_JWT_SECRET=(set)" in output
    assert line_of(output, "log").startswith("bad log FANOUT_NATS_URL: ")
    assert line_of(output, "presence").startswith("bad presence FANOUT_REDIS_URL: ")
    assert "redis://127.0.0.1:1/0" in output
    assert SECRET not in output


def test_settings_that_cannot_be_run_with_are_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANOUT_LISTEN", "nowhere")
    monkeypatch.setenv("FANOUT_MONGO_URL", "127.0.0.1")
    code, output = run("check")
    assert code == 2
    assert "FANOUT_LISTEN: must be host:port" in output
    assert "FANOUT_MONGO_URL: must begin with mongodb://" in output


def test_a_misspelt_name_is_weak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANOUT_INSTANSE_ID", "x")
    code, output = run("check")
    assert code == 0
    assert "weak  FANOUT_INSTANSE_ID: is no setting; did you mean FANOUT_INSTANCE_ID?" in output


def test_problems_come_first_then_what_is_weak_then_what_is_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANOUT_NATS_URL", f"nats://127.0.0.1:{free_port()}")
    monkeypatch.setenv("FANOUT_JWT_SECRET", "short")
    kinds = [line.split()[0] for line in run("check")[1].splitlines()]
    assert kinds == sorted(kinds, key=["bad", "weak", "ok"].index)
    assert set(kinds) == {"bad", "weak", "ok"}


def test_servers_that_answer_are_good_and_no_stream_is_made(
    monkeypatch: pytest.MonkeyPatch, nats_server: NatsServer, redis_url: str
) -> None:
    monkeypatch.setenv("FANOUT_NATS_URL", nats_server.url)
    monkeypatch.setenv("FANOUT_REDIS_URL", redis_url)
    monkeypatch.delenv("FANOUT_JWT_SECRET")
    for _ in range(2):
        code, output = run("check")
        assert code == 0
        assert "its streams are created at the first start" in line_of(output, "log")
    assert "weak  tokens: fanout serve needs FANOUT_JWT_SECRET or FANOUT_JWKS_URL" in output
    assert run("migrate")[0] == 0
    assert line_of(run("check")[1], "log") == "ok log NATS JetStream, 8 partitions"


def test_a_url_that_leads_to_a_server_of_another_kind(
    monkeypatch: pytest.MonkeyPatch, nats_url: str, redis_url: str
) -> None:
    monkeypatch.setenv("FANOUT_NATS_URL", redis_url.replace("redis://", "nats://"))
    monkeypatch.setenv("FANOUT_REDIS_URL", nats_url.replace("nats://", "redis://"))
    code, output = run("check")
    assert code == 1
    assert "FANOUT_NATS_URL: no NATS server accepts the connection at nats://127.0.0.1:" in line_of(output, "bus")
    assert line_of(output, "bus").endswith("no server there sent NATS's greeting within 2 s")
    assert "FANOUT_REDIS_URL: no Redis server lets us in at redis://127.0.0.1:" in line_of(output, "presence")


def test_a_crash_hides_no_other_line(monkeypatch: pytest.MonkeyPatch) -> None:
    async def crash(_: Backends) -> Found:
        raise LookupError(SECRET)

    rows = [
        replace(row, embedded=replace(row.embedded, look=crash)) if row.name == "presence" else row for row in BACKENDS
    ]
    monkeypatch.setattr("services.cli.check.BACKENDS", tuple(rows))
    code, output = run("check")
    assert code == 1
    assert line_of(output, "presence").startswith("bad presence unexpected LookupError")
    assert line_of(output, "tokens").startswith("ok ")
    assert SECRET not in output


def test_the_issuers_keys_are_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANOUT_JWT_ALGORITHMS", "ES256")
    with running_issuer() as issuer:
        issuer.publish(one=new_key("ES256"))
        monkeypatch.setenv("FANOUT_JWKS_URL", issuer.url)
        monkeypatch.setenv("FANOUT_JWT_AUDIENCE", "any")
        monkeypatch.setenv("FANOUT_JWT_ISSUER", "https://issuer.example")
        code, output = run("check")
        assert (code, line_of(output, "tokens")) == (0, "ok tokens ES256 by the issuer's JWKS")
        assert "weak  FANOUT_JWT_AUDIENCE: is any" in output
        issuer.status = 404
        code, output = run("check")
    assert code == 1
    assert "keys cannot be fetched: it answers 404" in line_of(output, "tokens")


def test_credentials_in_the_address_of_the_keys_are_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANOUT_JWT_ALGORITHMS", "ES256")
    monkeypatch.setenv("FANOUT_JWKS_URL", f"http://user:{SECRET}@127.0.0.1:1/jwks")
    monkeypatch.setenv("FANOUT_JWT_AUDIENCE", "any")
    monkeypatch.setenv("FANOUT_JWT_ISSUER", "any")
    code, output = run("check")
    assert code == 1
    assert "keys cannot be fetched" in line_of(output, "tokens")
    assert SECRET not in output


@pytest.mark.system
async def test_beside_a_running_one_everything_is_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(tmp_path)
    try:
        up = await cluster.start("up", "up")
        monkeypatch.setenv("FANOUT_LISTEN", up.url.removeprefix("http://"))
        code, output = await in_a_thread("check")
        assert code == 0
        assert line_of(output, "log") == "ok log embedded, in use by the running fanout up, which is ready"
        monkeypatch.setenv("FANOUT_LISTEN", f"127.0.0.1:{free_port()}")
        code, output = await in_a_thread("check")
    finally:
        await cluster.kill()
    assert code == 1
    assert "stop the other `fanout up`, or set another FANOUT_DATA_DIR" in line_of(output, "log")


async def in_a_thread(command: str) -> tuple[int, str]:
    """The command starts an event loop of its own."""
    return await asyncio.to_thread(run, command)


def test_migrate_creates_the_stores(tmp_path: Path) -> None:
    assert run("migrate")[0] == 0
    assert {"log.db", "memberships.db", "messages.db"} <= {path.name for path in (tmp_path / "data").iterdir()}
    assert run("migrate")[0] == 0


@pytest.mark.parametrize("command", ["check", "migrate", "up", "serve"])
def test_the_help_says_the_exit_codes(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    said = " ".join(result.output.split())
    assert "0 " in said
    assert "2 the settings are wrong" in said


def test_memberships_in_mongodb_are_created_by_migrate_and_not_by_check(
    monkeypatch: pytest.MonkeyPatch, mongo_url: str
) -> None:
    monkeypatch.setenv("FANOUT_MONGO_URL", mongo_url)
    name = mongo_url.rpartition("/")[2]
    code, output = run("check")
    assert code == 0
    assert f"MongoDB, database {name}; its indexes are created at the first start" in output
    assert "no replica set" in output
    code, output = run("migrate")
    assert code == 0
    assert line_of(output, "memberships").startswith("ok memberships MongoDB")
    code, output = run("check")
    assert code == 0
    assert f"MongoDB, database {name}\n" in output


def test_a_mongodb_that_is_away_is_named_and_no_password_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANOUT_MONGO_URL", f"mongodb://user:{SECRET}@127.0.0.1:{free_port()}/?authSource={SECRET}")
    code, output = run("check")
    assert code == 1
    assert line_of(output, "memberships").startswith("bad memberships FANOUT_MONGO_URL: no MongoDB server lets us in")
    assert SECRET not in output
