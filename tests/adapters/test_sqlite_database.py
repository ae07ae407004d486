"""SQLite off the event loop: shared transactions, errors, schemas, and several processes on one file."""

import asyncio
import contextlib
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fanout.errors import FanoutError, OutcomeUnknown, StorageFull, Unavailable
from services.adapters.sqlite import database as module
from services.adapters.sqlite import threads
from services.adapters.sqlite.database import Database, inspect
from tests.support.reading import soon

SCHEMA = [["CREATE TABLE notes (text TEXT NOT NULL UNIQUE) STRICT"]]

WRITER = """
import asyncio, sys
from pathlib import Path
from services.adapters.sqlite.database import Database

async def main():
    schema = [["CREATE TABLE notes (text TEXT NOT NULL UNIQUE) STRICT"]]
    database = await Database.open(Path(sys.argv[1]), schema)
    for number in range(20):
        text = f"{sys.argv[2]}-{number}"
        await database.write(lambda connection: connection.execute("INSERT INTO notes VALUES (?)", (text,)))
    await database.close()

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(path, SCHEMA)
    yield opened
    await opened.close()


def _insert(connection: sqlite3.Connection, text: str) -> None:
    connection.execute("INSERT INTO notes VALUES (?)", (text,))


async def _note(database: Database, text: str) -> None:
    await database.write(lambda connection: _insert(connection, text))


async def _notes(database: Database) -> list[str]:
    def work(connection: sqlite3.Connection) -> list[str]:
        return [text for (text,) in connection.execute("SELECT text FROM notes ORDER BY text")]

    return await database.read(work)


class BusyWriter:
    """Keeps the writer busy until it is released."""

    def __init__(self, database: Database) -> None:
        self._free = threading.Event()
        self._busy = threading.Event()
        self._done = database.submit(self._work)

    async def begun(self) -> "BusyWriter":
        assert await asyncio.to_thread(self._busy.wait, 10)
        return self

    async def release(self) -> None:
        self._free.set()
        await self._done

    def _work(self, _connection: sqlite3.Connection) -> None:
        self._busy.set()
        assert self._free.wait(10)


async def test_what_was_written_is_read(database: Database) -> None:
    await _note(database, "a")
    assert await _notes(database) == ["a"]


async def test_the_database_is_durable_by_group_commit(database: Database) -> None:
    statements: list[str] = []
    await database.write(lambda connection: connection.set_trace_callback(statements.append))
    busy = await BusyWriter(database).begun()
    statements.clear()
    writes = [database.submit(partial(_insert, text=str(number))) for number in range(100)]
    await busy.release()
    await asyncio.gather(*writes)
    assert statements.count("COMMIT") == 2
    assert len(await _notes(database)) == 100
    assert await database.write(lambda connection: connection.execute("PRAGMA synchronous").fetchone()) == (2,)
    assert await database.read(lambda connection: connection.execute("PRAGMA journal_mode").fetchone()) == ("wal",)


async def test_work_that_fails_is_undone_alone(database: Database) -> None:
    def half_done(connection: sqlite3.Connection) -> None:
        _insert(connection, "half")
        raise LookupError("changed my mind")

    busy = await BusyWriter(database).begun()
    before, failing, after = _note(database, "a"), database.write(half_done), _note(database, "b")
    writes = asyncio.gather(before, failing, after, return_exceptions=True)
    await asyncio.sleep(0)
    await busy.release()
    assert [type(result) for result in await writes] == [type(None), LookupError, type(None)]
    assert await _notes(database) == ["a", "b"]


async def test_an_error_of_the_program_is_not_called_unavailable(database: Database) -> None:
    await _note(database, "a")
    with pytest.raises(sqlite3.IntegrityError):
        await _note(database, "a")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await database.read(lambda connection: connection.execute("SELECT * FROM nowhere"))


async def test_a_full_disk_fails_the_write_and_leaves_what_was_there(database: Database) -> None:
    await _note(database, "a")
    await database.write(lambda connection: connection.execute("PRAGMA max_page_count = 1").fetchone())
    with pytest.raises(Unavailable, match="full"):
        await _note(database, "b" * 100_000)
    assert await _notes(database) == ["a"]
    await database.write(lambda connection: connection.execute("PRAGMA max_page_count = 100000").fetchone())
    await _note(database, "c")
    assert await _notes(database) == ["a", "c"]


async def test_a_database_that_takes_no_writes_does_not_claim_to_be_well(database: Database) -> None:
    await _note(database, "a")
    await database.write(lambda connection: connection.execute("PRAGMA max_page_count = 1").fetchone())
    await database.ping()
    with pytest.raises(StorageFull):
        await _note(database, "b" * 100_000)
    for _ in range(2):
        with pytest.raises(StorageFull):
            await database.ping()
    await database.write(lambda connection: connection.execute("PRAGMA max_page_count = 100000").fetchone())
    await database.ping()
    assert await database.read(lambda connection: connection.execute("SELECT name FROM sqlite_master").fetchall()) == [
        ("notes",),
        ("sqlite_autoindex_notes_1",),
    ]


async def test_a_database_that_became_read_only_does_not_claim_to_be_well(database: Database) -> None:
    await database.write(lambda connection: connection.execute("PRAGMA query_only = 1").fetchone())
    with pytest.raises(Unavailable):
        await _note(database, "a")
    with pytest.raises(Unavailable):
        await database.ping()


class FailsToCommit(sqlite3.Connection):
    """Its disk fails just when the transaction is made durable."""

    code = sqlite3.SQLITE_IOERR

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql == "COMMIT":
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = self.code
            raise error
        return super().execute(sql, *parameters)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_IOERR | 4 << 8, OutcomeUnknown),  # SQLITE_IOERR_FSYNC
        (sqlite3.SQLITE_BUSY, Unavailable),
        (sqlite3.SQLITE_FULL, StorageFull),
    ],
)
async def test_a_commit_that_fails_says_whether_anything_may_have_been_done(code: int, kind: type[Unavailable]) -> None:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None, factory=FailsToCommit)) as connection:
        connection.code = code
        job = threads.Job(lambda connection: connection.execute("CREATE TABLE x (y)"), asyncio.Future())
        module._run_in_transaction(connection, [job])
        assert type(job.error) is kind
        assert not connection.in_transaction


async def test_a_file_locked_by_another_is_unavailable_and_then_is_not(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_TIMEOUT_S", 0.05)
    database = await Database.open(path, SCHEMA)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked"):
        await _note(database, "a")
    assert await _notes(database) == []
    other.execute("ROLLBACK")
    other.close()
    await _note(database, "b")
    assert await _notes(database) == ["b"]
    await database.close()


async def test_a_write_whose_caller_went_away_is_done(database: Database) -> None:
    busy = await BusyWriter(database).begun()
    writing = asyncio.create_task(_note(database, "a"))
    await asyncio.sleep(0)
    writing.cancel()
    await busy.release()
    await _note(database, "b")
    assert await _notes(database) == ["a", "b"]
    assert writing.cancelled()


async def test_reads_do_not_wait_for_a_long_write(database: Database) -> None:
    await _note(database, "a")
    busy = await BusyWriter(database).begun()
    assert await _notes(database) == ["a"]
    await busy.release()


async def test_a_short_read_does_not_wait_for_a_long_one(database: Database) -> None:
    begun, free = threading.Event(), threading.Event()

    def long(_connection: sqlite3.Connection) -> bool:
        begun.set()
        return free.wait(10)

    reading = asyncio.create_task(database.read(long))
    assert await asyncio.to_thread(begun.wait, 10)
    for _ in range(3):
        assert await soon(_notes(database)) == []
    free.set()
    assert await reading


async def test_what_waits_is_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "MAX_WAITING", 3)
    busy = await BusyWriter(database).begun()
    waiting = [database.submit(partial(_insert, text=str(number))) for number in range(3)]
    with pytest.raises(Unavailable, match="overloaded"):
        await _note(database, "one too many")
    await busy.release()
    await asyncio.gather(*waiting)


async def test_closing_finishes_what_was_submitted(path: Path, database: Database) -> None:
    busy = await BusyWriter(database).begun()
    writes = [asyncio.create_task(_note(database, str(number))) for number in range(3)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(database.close())
    await busy.release()
    await closing
    await asyncio.gather(*writes)
    await database.close()
    with pytest.raises(Unavailable, match="closed"):
        await _note(database, "late")
    again = await Database.open(path, SCHEMA)
    assert await _notes(again) == ["0", "1", "2"]
    await again.close()


async def test_a_missing_folder_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="unable to open"):
        await Database.open(tmp_path / "missing" / "notes.db", SCHEMA)


async def test_a_file_that_is_none_of_sqlites_is_an_error(path: Path) -> None:
    await asyncio.to_thread(path.write_bytes, b"something else entirely" * 100)
    with pytest.raises(FanoutError, match="not a database"):
        await Database.open(path, SCHEMA)
    with pytest.raises(FanoutError, match="not a database"):
        inspect(path, SCHEMA)


async def test_looking_at_a_file_changes_nothing_open_or_closed(path: Path, database: Database) -> None:
    await _note(database, "a")
    inspect(path, SCHEMA)
    await database.close()
    before = {file: file.read_bytes() for file in path.parent.iterdir()}
    inspect(path, [*SCHEMA, ["ALTER TABLE notes ADD COLUMN author TEXT"]])
    with pytest.raises(FanoutError, match="schema 1, this program knows 0"):
        inspect(path, [])
    assert {file: file.read_bytes() for file in path.parent.iterdir()} == before


async def test_a_newer_program_brings_the_schema_up_to_date(path: Path, database: Database) -> None:
    await _note(database, "a")
    await database.close()
    newer = await Database.open(path, [*SCHEMA, ["ALTER TABLE notes ADD COLUMN author TEXT"]])
    rows = await newer.read(lambda connection: connection.execute("SELECT text, author FROM notes").fetchall())
    await newer.close()
    assert rows == [("a", None)]
    with pytest.raises(FanoutError, match="schema 2, this program knows 1"):
        await Database.open(path, SCHEMA)


async def test_a_migration_that_fails_changes_nothing(path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        await Database.open(path, [["CREATE TABLE notes (text)", "CREATE TABLE notes (text)"]])
    database = await Database.open(path, SCHEMA)
    await _note(database, "a")
    await database.close()


async def test_in_memory_reads_see_writes() -> None:
    database = await Database.open(None, SCHEMA)
    await _note(database, "a")
    assert await _notes(database) == ["a"]
    await database.ping()
    await database.close()


def test_two_who_turn_wal_on_at_once_both_succeed(path: Path) -> None:
    """SQLite answers one of them with SQLITE_BUSY at once, lest each wait for the other."""

    class Contended(sqlite3.Connection):
        refusals = 2

        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            if self.refusals:
                self.refusals -= 1
                error = sqlite3.OperationalError("database is locked")
                error.sqlite_errorcode = sqlite3.SQLITE_BUSY
                raise error
            return super().execute(sql, *parameters)

    with contextlib.closing(sqlite3.connect(path, factory=Contended)) as connection:
        module._use_wal(connection)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_processes_may_create_and_write_one_file_at_once(path: Path) -> None:
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, str(path), str(number))
        for number in range(4)
    ]
    async with asyncio.timeout(60):
        assert [await process.wait() for process in processes] == [0, 0, 0, 0]
    database = await Database.open(path, SCHEMA)
    assert len(await _notes(database)) == 80
    await database.close()
