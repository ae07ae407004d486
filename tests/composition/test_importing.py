"""Files are opened by their names, and an offline import is refused while services are seen."""

import io
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from fanout.errors import FanoutError
from fanout.ports.log import Log
from fanout.ports.presence import Lease, Leases
from services.adapters.files.json_lines import JsonLines
from services.adapters.files.parquet import ParquetRows
from services.composition.backends import Backends
from services.composition.importing import (
    STDIN,
    Format,
    ImportOptions,
    RowKind,
    check_nothing_runs,
    open_records,
    run_import,
)
from services.composition.table import BACKENDS
from services.runtime.health import Health
from services.runtime.settings import load_settings
from tests.support.importing import RecordingWatcher
from tests.support.record_files import json_lines, write_gzip, write_jsonl, write_parquet
from tests.support.servers import NatsServer

ROWS = [{"channel_id": "a", "user_id": "bob"}]


@pytest.fixture
async def backends() -> Iterator[Backends]:  # type: ignore[misc]
    async with AsyncExitStack() as stack:
        yield Backends(BACKENDS, load_settings(), Health(), stack, alone=True)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.ndjson", "rows.json", "rows.jsonl.gz"])
def test_lines_are_known_by_the_name_of_their_file(tmp_path: Path, name: str) -> None:
    written = write_gzip(tmp_path, ROWS) if name.endswith(".gz") else write_jsonl(tmp_path, ROWS)
    records = open_records(written.rename(tmp_path / name), None)
    assert isinstance(records, JsonLines)
    assert len(records.read(10)) == 1
    records.close()


def test_a_table_is_known_by_its_name_and_a_format_that_is_given_counts(tmp_path: Path) -> None:
    path = write_parquet(tmp_path, ROWS)
    records = open_records(path, None)
    assert isinstance(records, ParquetRows)
    records.close()
    records = open_records(path.rename(tmp_path / "rows.dat"), Format.PARQUET)
    assert isinstance(records, ParquetRows)
    records.close()
    records = open_records(write_jsonl(tmp_path, ROWS).rename(tmp_path / "rows.txt"), Format.JSONL)
    assert isinstance(records, JsonLines)
    records.close()


@pytest.mark.parametrize("name", ["rows", "rows.csv", "rows.gz", "rows.csv.gz"])
def test_another_name_says_no_format(tmp_path: Path, name: str) -> None:
    with pytest.raises(FanoutError, match="--format"):
        open_records(tmp_path / name, None)


def test_standard_input_is_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.write(writing, json_lines(ROWS))
    os.close(writing)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(open(reading, "rb")))  # noqa: SIM115, PTH123 - a descriptor
    assert len(open_records(STDIN, None).read(10)) == 1
    with pytest.raises(FanoutError, match="standard input"):
        open_records(STDIN, Format.PARQUET)


async def test_nothing_runs_where_nothing_was_started(backends: Backends) -> None:
    await check_nothing_runs(backends)


async def test_an_embedded_log_that_is_open_is_a_fanout_up(backends: Backends) -> None:
    async with AsyncExitStack() as stack:
        await Backends(BACKENDS, load_settings(), Health(), stack, alone=True).open(Log)
        with pytest.raises(FanoutError, match="a fanout up runs"):
            await check_nothing_runs(backends)
    await check_nothing_runs(backends)


async def test_an_instance_with_a_lease_runs(on_servers: NatsServer, backends: Backends) -> None:
    await check_nothing_runs(backends)
    leases = await backends.open(Leases)
    await leases.lease(Lease("notif-1", "1", "ws://127.0.0.1:8081/ws", "2026-02-01T10:00:00.000Z", 0, 10))
    with pytest.raises(FanoutError, match=r"instances run \(notif-1\)"):
        await check_nothing_runs(backends)
    await leases.release("notif-1")
    await check_nothing_runs(backends)


async def test_a_file_is_imported_into_the_store_of_the_settings(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path, ROWS)
    options = ImportOptions(kind=RowKind.MEMBERSHIPS, file=path, offline=True, owner="alice")
    tally = await run_import(load_settings(), options, RecordingWatcher())
    assert (tally.new, tally.finished) == (1, True)
    assert (tmp_path / "data" / "memberships.db").exists()


async def test_an_offline_import_beside_services_writes_nothing(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path, ROWS)
    async with AsyncExitStack() as stack:
        await Backends(BACKENDS, load_settings(), Health(), stack, alone=True).open(Log)
        options = ImportOptions(kind=RowKind.MEMBERSHIPS, file=path, offline=True, owner="alice")
        with pytest.raises(FanoutError, match="leave out --offline"):
            await run_import(load_settings(), options, RecordingWatcher())
    assert (await run_import(load_settings(), options, RecordingWatcher())).new == 1
