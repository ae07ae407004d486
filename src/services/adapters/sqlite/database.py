"""SQLite outside the event loop: one thread writes, in groups, and a few threads read.

Writes that arrive during a transaction share the next one: a commit costs one sync of the disk, however many callers
wait for it. With WAL, readers and other processes continue while one writes.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from fanout.errors import FanoutError, StorageFull, Unavailable
from services.adapters.sqlite.failures import code_of, not_opened, refused_by_the_disk, translated, uncertain
from services.adapters.sqlite.threads import Job, Threads, Work

BUSY_TIMEOUT_S: Final = 5.0
"""Seconds for which a statement waits for the lock of another process."""

MAX_GROUP: Final = 512
READERS: Final = 2

_T = TypeVar("_T")

Schema = Sequence[Sequence[str]]
"""Statements by version: the first group creates version 1, and each further group the next version."""

UNRELEASED: Final[Sequence[str]] = ()
"""Stands in a schema for a version that was never released. A file of that version is refused."""


class Database:
    """One SQLite file. Every method is called in the event loop that opened it."""

    def __init__(self, writer: Threads, reader: Threads) -> None:
        self._writer = writer
        self._reader = reader
        self._unwritable = False
        """Whether the last write failed because the disk is full or broken."""

    @classmethod
    async def open(cls, path: Path | None, schema: Schema) -> "Database":
        """Open the file, create it if it is missing, and bring its schema up to date.

        Several processes may do this at the same time.

        Args:
            path: the file; its folder must exist. None is a database in memory, for tests.
            schema: the statements that create it, by version.

        Raises:
            Unavailable: the file cannot be opened, or stays locked.
            FanoutError: it is not a database, or a newer or an unreleased version of the program wrote it.
        """
        connection, readers = await asyncio.to_thread(_connect_all, path, schema)
        writer = Threads([connection], _run_in_transaction, name="sqlite-writer", group=MAX_GROUP)
        if path is None:
            return cls(writer, writer)
        return cls(writer, Threads(readers, _run_each, name="sqlite-reader", group=1))

    def submit(self, work: Work[_T]) -> asyncio.Future[_T]:
        """Queue `work` for the next transaction, which other jobs may share. If it fails, it alone is rolled back.

        Returns:
            a future of its result, which is set once the result is durable. Cancelling the future does not stop `work`.

        Raises:
            Unavailable: the database is closed, or too many jobs wait.
        """
        done = self._writer.put(work)
        done.add_done_callback(self._note)
        return done

    async def write(self, work: Work[_T]) -> _T:
        """Do `work` in a transaction, as `submit` does, and wait until it is durable.

        Raises:
            Unavailable: the file is locked, or its disk is broken; `work` had no effect.
            StorageFull: the disk is full; `work` had no effect.
            OutcomeUnknown: the disk failed during the commit; `work` may have had its effect or not.
        """
        return await self.submit(work)

    async def read(self, work: Work[_T]) -> _T:
        """Return the result of `work`, which only reads. Each statement sees one state of the database.

        Raises:
            Unavailable: the file cannot be read.
        """
        return await self._reader.put(work)

    async def ping(self) -> None:
        """Return when the database answers. If the disk refused the last write, a write must succeed as well.

        Raises:
            Unavailable: it does not.
        """
        await self.read(lambda connection: connection.execute("SELECT 1 FROM sqlite_master").fetchone())
        if self._unwritable:
            await self.write(_write_a_page)

    async def close(self) -> None:
        """Finish the queued jobs, then close the file. A second call has no effect."""
        await self._reader.close()
        await self._writer.close()

    def _note(self, done: "asyncio.Future[Any]") -> None:
        if done.cancelled():
            return  # the outcome is unknown
        if (error := done.exception()) is None:
            self._unwritable = False
        elif refused_by_the_disk(error):
            self._unwritable = True


def inspect(path: Path, schema: Schema) -> None:
    """Check that this program can use an existing file. Nothing is written.

    Raises:
        Unavailable: it cannot be read now.
        FanoutError: it is not a database, or a newer or an unreleased version of the program wrote it.
    """
    look_into(path, lambda connection: _missing(connection, schema))


def look_into(path: Path, look: Callable[[sqlite3.Connection], _T]) -> _T:
    """Return the result of `look` on an existing file. Nothing is written.

    Raises:
        Unavailable: it cannot be read now.
        FanoutError: it is not a database.
    """
    # Without a WAL file no process has the database open, and reading it must not create one.
    mode = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
    try:
        uri = f"{path.absolute().as_uri()}?{mode}"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S)) as connection:
            return look(connection)
    except sqlite3.Error as error:
        raise not_opened(path, error) from error


def _run_each(connection: sqlite3.Connection, group: Sequence[Job]) -> None:
    for job in group:
        _attempt(connection, job)


def _run_in_transaction(connection: sqlite3.Connection, group: Sequence[Job]) -> None:
    committing = False
    try:
        if connection.in_transaction:  # the disk failed the last rollback
            connection.execute("ROLLBACK")
        connection.execute("BEGIN IMMEDIATE")
        for job in group:
            _run_undoable(connection, job)
        committing = True
        connection.execute("COMMIT")
    except (sqlite3.Error, Unavailable) as error:
        with contextlib.suppress(sqlite3.Error):  # the next transaction tries again; these callers get the cause
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        failure = uncertain(error) if committing and code_of(error) == sqlite3.SQLITE_IOERR else translated(error)
        for job in group:
            job.error = failure


def _run_undoable(connection: sqlite3.Connection, job: Job) -> None:
    """Do one job of a transaction. If it fails, the other jobs of the transaction are kept."""
    connection.execute("SAVEPOINT job")
    _attempt(connection, job)
    if not connection.in_transaction:
        kind = StorageFull if isinstance(job.error, StorageFull) else Unavailable
        raise kind(f"the database undid a whole transaction: {job.error}") from job.error
    if job.error is not None:
        connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")


def _attempt(connection: sqlite3.Connection, job: Job) -> None:
    try:
        job.result = job.work(connection)
    except sqlite3.Error as error:
        job.error = translated(error)
    except Exception as error:  # noqa: BLE001 - raised in the thread of the caller
        job.error = error


def _write_a_page(connection: sqlite3.Connection) -> None:
    """Write something that needs another page, and remove it."""
    connection.execute("CREATE TABLE fanout_probe (number INTEGER)")
    connection.execute("DROP TABLE fanout_probe")


def _connect_all(path: Path | None, schema: Schema) -> tuple[sqlite3.Connection, list[sqlite3.Connection]]:
    """The connection that writes, and those that read. A database in memory has one for both."""
    with contextlib.ExitStack() as opened:
        writer = opened.enter_context(contextlib.closing(_prepare(path, schema)))
        count = 0 if path is None else READERS
        readers = [opened.enter_context(contextlib.closing(_connect(path))) for _ in range(count)]
        opened.pop_all()
    return writer, readers


def _prepare(path: Path | None, schema: Schema) -> sqlite3.Connection:
    connection = _connect(path)
    try:
        _migrate(connection, schema)
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error):
            raise not_opened(path, error) from error
        raise
    return connection


def _connect(path: Path | None) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(
            ":memory:" if path is None else path,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,  # used by one thread at a time, not always the same
        )
        _use_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error as error:
        raise not_opened(path, error) from error
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    """Turn WAL on. Another process may do the same, and SQLite does not wait for its lock here."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if code_of(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                connection.close()
                raise
        else:
            return
        time.sleep(0.01)


def _migrate(connection: sqlite3.Connection, schema: Schema) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in _missing(connection, schema):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(schema)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _missing(connection: sqlite3.Connection, schema: Schema) -> list[str]:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(schema):
        raise FanoutError(f"the file has schema {version}, this program knows {len(schema)}: update it")
    if version and not schema[version - 1]:
        _, _, path = connection.execute("PRAGMA database_list").fetchone()
        raise FanoutError(
            f"{path} was written by a version of this program before its first release, and cannot be converted: "
            "move the file away, and a new one is created"
        )
    return [statement for statements in schema[version:] for statement in statements]
