"""The threads of a SQLite file: each queued job is done, and a loop may do them without any thread."""

import asyncio
import contextlib
import contextvars
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from fanout import machine
from fanout.errors import Unavailable
from services.adapters.sqlite import threads as module
from services.adapters.sqlite.database import Database
from services.adapters.sqlite.threads import Job, Threads
from tests.support.observing import until

SCHEMA = [["CREATE TABLE notes (text TEXT NOT NULL) STRICT"]]


def run(connection: sqlite3.Connection, group: Any) -> None:
    for job in group:
        assert isinstance(job, Job)
        job.result = job.work(connection)


def connections(count: int) -> list[sqlite3.Connection]:
    return [sqlite3.connect(":memory:", check_same_thread=False) for _ in range(count)]


@contextlib.asynccontextmanager
async def threads_of(count: int, *, group: int = 1) -> AsyncIterator[Threads]:
    threads = Threads(connections(count), run, name="test-sqlite", group=group)
    yield threads
    await threads.close()


def named() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("test-sqlite")]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER_S", 0.0)


@pytest.mark.parametrize("count", [1, 2])
async def test_no_job_is_left_when_a_thread_gives_its_connection_back(impatient: None, count: int) -> None:
    async def several(number: int) -> None:
        for _ in range(300):
            assert await threads.put(lambda _: number) == number

    async with asyncio.timeout(30), threads_of(count) as threads:
        await asyncio.gather(*map(several, range(4)))


async def test_threads_that_wait_for_the_same_jobs_give_their_connections_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER_S", 0.0002)
    async with asyncio.timeout(60), threads_of(2) as threads:
        for _ in range(2_000):
            await asyncio.gather(threads.put(lambda _: None), threads.put(lambda _: None))
        await until(lambda: len(threads._free) == 2)


async def test_jobs_after_a_pause_are_done_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER_S", 0.001)
    async with threads_of(1) as threads:
        for _ in range(3):
            assert await threads.put(lambda _: "done") == "done"
            await until(lambda: bool(threads._free))


async def test_there_are_no_more_threads_than_connections_and_they_end() -> None:
    async with threads_of(2) as threads:
        await asyncio.gather(*(threads.put(lambda _: None) for _ in range(20)))
        assert len(named()) in {1, 2}
    await until(lambda: not named())


async def test_closing_at_once_by_several_does_the_queued_jobs_and_closes_the_connections() -> None:
    [connection] = connections(1)
    threads = Threads([connection], run, name="test-sqlite", group=3)
    jobs = [threads.put(lambda _, number=number: number) for number in range(10)]  # type: ignore[misc]
    await asyncio.gather(threads.close(), threads.close())
    assert [job.result() for job in jobs] == list(range(10))
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")
    with pytest.raises(Unavailable, match="closed"):
        threads.put(lambda _: None)


async def test_a_caller_that_stops_waiting_for_the_close_does_not_stop_it() -> None:
    free = threading.Event()
    threads = Threads(connections(1), run, name="test-sqlite", group=1)
    job = threads.put(lambda _: free.wait(10))
    closing = asyncio.create_task(threads.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.sleep(0)
    free.set()
    async with asyncio.timeout(10):
        await threads.close()
    assert job.result() is True


async def test_closing_what_was_never_used_returns() -> None:
    async with asyncio.timeout(10), threads_of(2):
        pass


async def test_a_job_has_the_machine_of_its_caller() -> None:
    before = machine.current()
    own = machine.Machine()
    async with threads_of(1) as threads:
        assert await threads.put(lambda _: machine.current()) is before

    async def simulated() -> machine.Machine:
        machine.set_current(own)
        async with threads_of(1) as threads:
            return await threads.put(lambda _: machine.current())

    assert await asyncio.create_task(simulated()) is own
    assert machine.current() is before


class WithoutThreads(asyncio.SelectorEventLoop):
    """Runs what is meant for threads itself."""

    def run_in_executor(self, _executor: Any, func: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":  # type: ignore[override]
        done = self.create_future()
        self.call_soon(lambda: done.set_result(func(*args)))
        return done


def test_a_loop_may_run_the_jobs_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER_S", 1_000.0)

    async def main() -> list[str]:
        database = await Database.open(tmp_path / "notes.db", SCHEMA)
        for text in ("a", "b"):
            await database.write(lambda to, text=text: to.execute("INSERT INTO notes VALUES (?)", (text,)))  # type: ignore[misc]
        texts = await database.read(lambda by: [text for (text,) in by.execute("SELECT text FROM notes")])
        await database.close()
        return texts

    before = set(threading.enumerate())
    with asyncio.Runner(loop_factory=WithoutThreads) as runner:
        assert runner.run(main()) == ["a", "b"]
    assert set(threading.enumerate()) <= before  # those of other tests may have ended meanwhile


async def test_an_error_outside_the_jobs_reaches_those_who_wait_and_the_thread_goes_on() -> None:
    def fail(_connection: sqlite3.Connection) -> None:
        raise MemoryError("outside")

    async with asyncio.timeout(10), threads_of(1) as threads:
        with pytest.raises(MemoryError, match="outside"):
            await threads.put(fail)
        assert await threads.put(lambda _: "done") == "done"


async def test_each_job_runs_in_the_context_in_which_it_was_queued() -> None:
    told = contextvars.ContextVar("told", default="nobody")
    go_on = threading.Event()

    def work(_: sqlite3.Connection) -> str:
        go_on.wait(30)
        return told.get()

    def queued(name: str) -> "asyncio.Future[str]":
        told.set(name)
        return threads.put(work)

    async with asyncio.timeout(30), threads_of(1, group=8) as threads:
        first, *others = [contextvars.copy_context().run(queued, name) for name in ("first", "second", "third")]
        go_on.set()
        assert await asyncio.gather(first, *others) == ["first", "second", "third"]
