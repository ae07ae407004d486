"""SQLite off the event loop: one thread that writes, in groups, and a few that read.

Writes that come while a transaction is under way share the next one: a commit costs one sync of the disk,
however many callers wait for it. WAL lets readers, and other processes, go on beside the writer.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from fanout.errors import FanoutError, StorageFull, Unavailable
from services.adapters.sqlite.failures import code_of, not_opened, refused_by_the_disk, translated, uncertain

BUSY_TIMEOUT_S: Final = 5.0
"""How long a statement waits for another process's lock."""

MAX_GROUP: Final = 512
MAX_WAITING: Final = 20_000
READERS: Final = 2

_T = TypeVar("_T")
Work = Callable[[sqlite3.Connection], _T]
"""What is done with a connection, in a thread of the database; it must not begin or end a transaction."""

Schema = Sequence[Sequence[str]]
"""Statements by version: the first group makes version 1, each that follows makes the next from the last."""

UNRELEASED: Final[Sequence[str]] = ()
"""In a schema, in place of the statements of a version that no release had: a file of that version is refused."""


@dataclass(slots=True)
class _Job:
    work: Work[Any]
    done: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None

    def settle(self) -> None:
        if self.done.done():
            return
        if self.error is None:
            self.done.set_result(self.result)
        else:
            self.done.set_exception(self.error)


class Database:
    """One SQLite file. Every method is called in the event loop that opened it."""

    def __init__(self, writer: "_Lane", reader: "_Lane") -> None:
        self._writer = writer
        self._reader = reader
        self._unwritable = False
        """Whether the last write was refused by the disk."""

    @classmethod
    async def open(cls, path: Path | None, schema: Schema) -> "Database":
        """Open the file, create it if need be, and bring its schema up to date.

        Safe while other processes do the same.

        Args:
            path: the file; its folder must exist. None is a database in memory, for tests.
            schema: what the file must hold, by version.

        Raises:
            Unavailable: the file cannot be opened, or stays locked.
            FanoutError: it is no database, or a newer version of the program or an unreleased one wrote it.
        """
        connection, readers = await asyncio.to_thread(_connect_all, path, schema)
        writer = _Lane([connection], _run_in_transaction, name="sqlite-writer", group=MAX_GROUP)
        if path is None:
            return cls(writer, writer)
        return cls(writer, _Lane(readers, _run_each, name="sqlite-reader", group=1))

    def submit(self, work: Work[_T]) -> asyncio.Future[_T]:
        """Have `work` done in a transaction, which it may share with others; it fails and is undone alone.

        Returns:
            its result, once it is durable. What nobody waits for any more is done all the same.

        Raises:
            Unavailable: the database is closed, or too much waits for it.
        """
        done = self._writer.put(work)
        done.add_done_callback(self._note)
        return done

    async def write(self, work: Work[_T]) -> _T:
        """`submit`, and wait for the result.

        Raises:
            Unavailable: the file is locked, or its disk broken; nothing of `work` was done.
            StorageFull: the disk is full; nothing of `work` was done.
            OutcomeUnknown: the disk failed while the transaction was made durable.
        """
        return await self.submit(work)

    async def read(self, work: Work[_T]) -> _T:
        """The result of `work`, which only reads: one statement sees one state of the database.

        Raises:
            Unavailable: the file cannot be read.
        """
        return await self._reader.put(work)

    async def ping(self) -> None:
        """Return when the database answers, and takes writes where the last one was refused by the disk.

        Raises:
            Unavailable: it does not.
        """
        await self.read(lambda connection: connection.execute("SELECT 1 FROM sqlite_master").fetchone())
        if self._unwritable:
            await self.write(_write_a_page)

    async def close(self) -> None:
        """Do what was submitted, then close the file. Twice is once."""
        await self._reader.close()
        await self._writer.close()

    def _note(self, done: "asyncio.Future[Any]") -> None:
        if done.cancelled():
            return  # its result was not looked at
        if (error := done.exception()) is None:
            self._unwritable = False
        elif refused_by_the_disk(error):
            self._unwritable = True


def inspect(path: Path, schema: Schema) -> None:
    """Look whether this program can use a file that is there; nothing is written.

    Raises:
        Unavailable: it cannot be read now.
        FanoutError: it is no database, or a newer version of the program or an unreleased one wrote it.
    """
    look_into(path, lambda connection: _missing(connection, schema))


def look_into(path: Path, look: Callable[[sqlite3.Connection], _T]) -> _T:
    """What `look` finds in a file that is there; nothing is written.

    Raises:
        Unavailable: it cannot be read now.
        FanoutError: it is no database.
    """
    # Without a WAL nobody has the file open; reading it then must not leave a WAL behind.
    mode = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
    try:
        uri = f"{path.absolute().as_uri()}?{mode}"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S)) as connection:
            return look(connection)
    except sqlite3.Error as error:
        raise not_opened(path, error) from error


class _Lane:
    """Threads with a connection each, and the jobs that wait for them; a thread takes up to `group` at once."""

    def __init__(
        self,
        connections: Sequence[sqlite3.Connection],
        run: Callable[[sqlite3.Connection, Sequence[_Job]], None],
        *,
        name: str,
        group: int,
    ) -> None:
        self._group = group
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._run = run
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, args=(connection,), name=name, daemon=True)
            for connection in connections
        ]
        for thread in self._threads:
            thread.start()

    def put(self, work: Work[_T]) -> asyncio.Future[_T]:
        if self._closed:
            raise Unavailable("the database is closed")
        if self._jobs.qsize() >= MAX_WAITING:
            raise Unavailable("the database is overloaded")
        done: asyncio.Future[_T] = self._loop.create_future()
        self._jobs.put(_Job(work, done))
        return done

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            for _ in self._threads:
                self._jobs.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _work(self, connection: sqlite3.Connection) -> None:
        with contextlib.closing(connection):
            while (job := self._jobs.get()) is not None:
                group = [job, *self._waiting()]
                self._run(connection, group)
                self._loop.call_soon_threadsafe(_settle, group)

    def _waiting(self) -> Iterator[_Job]:
        for _ in range(self._group - 1):
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return
            if job is None:
                self._jobs.put(None)
                return
            yield job


def _settle(group: Sequence[_Job]) -> None:
    for job in group:
        job.settle()


def _run_each(connection: sqlite3.Connection, group: Sequence[_Job]) -> None:
    for job in group:
        _attempt(connection, job)


def _run_in_transaction(connection: sqlite3.Connection, group: Sequence[_Job]) -> None:
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


def _run_undoable(connection: sqlite3.Connection, job: _Job) -> None:
    """Do one job of a transaction; where it fails, the others of the transaction stand."""
    connection.execute("SAVEPOINT job")
    _attempt(connection, job)
    if not connection.in_transaction:
        kind = StorageFull if isinstance(job.error, StorageFull) else Unavailable
        raise kind(f"the database undid a whole transaction: {job.error}") from job.error
    if job.error is not None:
        connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")


def _attempt(connection: sqlite3.Connection, job: _Job) -> None:
    try:
        job.result = job.work(connection)
    except sqlite3.Error as error:
        job.error = translated(error)
    except Exception as error:  # noqa: BLE001 - handed to the caller, who waits for it in another thread
        job.error = error


def _write_a_page(connection: sqlite3.Connection) -> None:
    """Write what needs a page more, and leave nothing of it."""
    connection.execute("CREATE TABLE fanout_probe (number INTEGER)")
    connection.execute("DROP TABLE fanout_probe")


def _connect_all(path: Path | None, schema: Schema) -> tuple[sqlite3.Connection, list[sqlite3.Connection]]:
    """The connection that writes, and those that read; what is in memory has but one."""
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
            check_same_thread=False,  # made in one thread, used by one other
        )
        _use_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error as error:
        raise not_opened(path, error) from error
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    """Turn WAL on; SQLite does not wait for a lock here by itself, as another process may do the same."""
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
            f"{path} was written by a version of this program before its first release, whose stores are not carried "
            "over: move the file away, and a new one is made"
        )
    return [statement for statements in schema[version:] for statement in statements]
