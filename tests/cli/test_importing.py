"""`fanout import`: options, output and exit codes, over the embedded store."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.adapters.sqlite.memberships import SqliteMemberships
from services.cli.main import app
from services.composition.data_files import MEMBERSHIPS_FILE
from services.importing import pacing
from tests.support.record_files import json_lines, write_parquet

CHANNELS = [{"channel_id": name, "name": name, "created_by": "alice"} for name in ("a", "b")]
MEMBERSHIPS = [{"channel_id": "a", "user_id": user} for user in ("bob", "carol")]


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FANOUT_DATA_DIR", str(tmp_path / "data"))
    Path("channels.jsonl").write_bytes(json_lines(CHANNELS))
    Path("members.jsonl").write_bytes(json_lines(MEMBERSHIPS))


def run(*arguments: str, stdin: bytes | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["import", *arguments], input=stdin)
    return result.exit_code, result.stdout, result.stderr


def members(channel_id: str) -> list[str]:
    async def read() -> list[str]:
        store = await SqliteMemberships.open(Path("data", MEMBERSHIPS_FILE))
        try:
            return await store.members_of(channel_id)
        finally:
            await store.close()

    return asyncio.run(read())


def test_channels_and_memberships_are_imported() -> None:
    assert run("channels", "channels.jsonl") == (0, "ok    channels: 2 read, 2 new, 0 present before\n", "")
    code, out, _ = run("memberships", "members.jsonl", "--offline")
    assert (code, out) == (0, "ok    memberships: 2 read, 2 new, 0 present before\n")
    assert members("a") == ["bob", "carol"]


def test_the_same_command_again_writes_nothing_unless_it_restarts() -> None:
    run("channels", "channels.jsonl")
    code, out, err = run("channels", "channels.jsonl")
    assert (code, out) == (0, "ok    channels: 2 read, 2 new, 0 present before\n")
    assert "imported before" in err
    assert run("channels", "channels.jsonl", "--restart")[1] == "ok    channels: 2 read, 0 new, 2 present before\n"


def test_parquet_is_imported(tmp_path: Path) -> None:
    run("channels", str(write_parquet(tmp_path, CHANNELS)))
    code, out, _ = run("memberships", str(write_parquet(tmp_path, MEMBERSHIPS)), "--offline")
    assert (code, out) == (0, "ok    memberships: 2 read, 2 new, 0 present before\n")


def test_a_bad_row_stops_the_import_or_is_skipped() -> None:
    run("channels", "channels.jsonl")
    rows: list[Any] = [MEMBERSHIPS[0], {"channel_id": "nowhere", "user_id": "bob"}, MEMBERSHIPS[1]]
    Path("members.jsonl").write_bytes(json_lines(rows))
    code, out, err = run("memberships", "members.jsonl", "--offline")
    assert (code, out) == (1, "")
    assert "bad   2: there is no channel nowhere" in err
    assert "error number 2 cannot be imported" in err
    code, out, err = run("memberships", "members.jsonl", "--offline", "--skip-errors")
    assert (code, out) == (0, "ok    memberships: 3 read, 2 new, 0 present before, 1 skipped\n")
    assert "goes on after 1" in err


def test_channels_are_created_for_memberships_where_that_is_wanted() -> None:
    code, out, _ = run("memberships", "members.jsonl", "--offline", "--create-channels", "alice")
    assert (code, out) == (0, "ok    memberships: 2 read, 2 new, 0 present before\n")
    code, _, err = run("memberships", "members.jsonl", "--offline", "--create-channels", "a.b")
    assert code == 1
    assert "--create-channels must be" in err


def test_where_no_gateway_publishes_the_import_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "STALLED_AFTER_S", 0.2)
    run("channels", "channels.jsonl")
    code, _, err = run("memberships", "members.jsonl")
    assert code == 1
    assert "2 changes of memberships wait to be published" in err
    assert "--offline" in err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nothing.jsonl"], "nothing.jsonl cannot be read: No such file"),
        (["members"], "give --format"),
        (["-", "--format", "parquet"], "cannot come from standard input"),
        (["members.jsonl", "--format", "parquet"], "is damaged"),
    ],
)
def test_a_file_that_cannot_be_opened_is_an_error(arguments: list[str], text: str) -> None:
    code, _, err = run("channels", *arguments)
    assert code == 1
    assert text in " ".join(err.split())


def test_wrong_settings_have_an_exit_code_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANOUT_LISTEN", "nowhere")
    assert run("channels", "channels.jsonl")[0] == 2


def test_columns_are_named_where_they_are_wrong(tmp_path: Path) -> None:
    path = write_parquet(tmp_path, [{"channel_id": "a", "member": "bob"}])
    code, _, err = run("memberships", str(path), "--offline", "--skip-errors")
    assert code == 1
    assert "unknown columns: member" in err


def test_the_help_names_the_fields() -> None:
    assert "channel_id" in run("memberships", "--help")[1]
    assert json.loads(json_lines(CHANNELS[:1])).keys() == {"channel_id", "name", "created_by"}
