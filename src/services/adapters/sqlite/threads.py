"""Threads that use the connections of a SQLite file, each one at a time, and the queue of their jobs."""

import asyncio
import contextvars
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from fanout.errors import Unavailable

MAX_WAITING: Final = 20_000
LINGER_S: Final = 0.1
"""Seconds for which a thread waits for another job before it gives its connection back: to start it takes as long as a
short job does."""

_T = TypeVar("_T")
Work = Callable[[sqlite3.Connection], _T]
"""A function that uses a connection, in a thread of the database. It must not begin or end a transaction."""


@dataclass(slots=True)
class Job:
    """Work that waits, and then its result or error."""

    work: Work[Any]
    done: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None

    def settle(self) -> None:
        """Tell the caller what became of the work, in the event loop."""
        if self.done.done():
            return
        if self.error is None:
            self.done.set_result(self.result)
        else:
            self.done.set_exception(self.error)


class Threads:
    """Threads that use one connection each, and the queue of their jobs. Methods are called in the event loop.

    The event loop gives a free connection to a thread of its executor when a job is queued. The thread gives it back
    when no job is left; if one was queued just then, the loop sees it. All threads are started by `run_in_executor`, so
    that a simulation's loop may run their work itself.

    Args:
        connections: one for each thread. They are closed by `close`.
        run: does some jobs with a connection, in a thread, and notes the results in them. An error that it raises is
            that of each of them.
        name: the prefix of the threads' names.
        group: the most jobs that `run` gets at once.
    """

    def __init__(
        self,
        connections: Sequence[sqlite3.Connection],
        run: Callable[[sqlite3.Connection, Sequence[Job]], None],
        *,
        name: str,
        group: int,
    ) -> None:
        self._group = group
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._jobs: queue.Queue[Job | None] | queue.SimpleQueue[Job | None] = _queue_for(len(connections))
        """None tells one thread that the database is closed."""
        self._run = run
        self._connections = connections
        self._free = list(connections)
        self._executor = ThreadPoolExecutor(len(connections), name)
        self._closing: asyncio.Task[None] | None = None
        self._all_free = asyncio.Event()
        """Set after the last job of a database that is being closed."""

    def put(self, work: Work[_T]) -> asyncio.Future[_T]:
        """Queue `work`. It runs in the context of the caller.

        Returns:
            a future of its result. Cancelling the future does not stop `work`.

        Raises:
            Unavailable: the threads are closed, or too many jobs wait.
        """
        if self._closing is not None:
            raise Unavailable("the database is closed")
        if self._jobs.qsize() >= MAX_WAITING:
            raise Unavailable("the database is overloaded")
        done: asyncio.Future[_T] = self._loop.create_future()
        context = contextvars.copy_context()  # as `asyncio.to_thread` does
        self._jobs.put(Job(lambda connection: context.run(work, connection), done))
        if self._free:
            self._start(self._free.pop())
        return done

    async def close(self) -> None:
        """Finish the queued jobs, then close the connections and end the threads. A second call has no effect."""
        if self._closing is None:
            self._closing = self._loop.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if busy := len(self._connections) - len(self._free):
            for _ in range(busy):
                self._jobs.put(None)
            await self._all_free.wait()
        await self._loop.run_in_executor(self._executor, _close_all, self._connections)
        self._executor.shutdown(wait=False)

    def _start(self, connection: sqlite3.Connection) -> None:
        self._loop.run_in_executor(self._executor, self._work, connection)

    def _work(self, connection: sqlite3.Connection) -> None:
        while (job := self._next()) is not None:
            group = [job, *self._waiting()]
            try:
                self._run(connection, group)
            except BaseException as error:  # noqa: BLE001 - raised where the jobs are awaited
                for failed in group:
                    failed.error = failed.error or error
            self._loop.call_soon_threadsafe(_settle, group)
        self._loop.call_soon_threadsafe(self._finished, connection)

    def _next(self) -> Job | None:
        # A loop may run this itself, in place of a thread. Then nothing is queued while it waits.
        in_the_loop = threading.get_ident() == self._loop_thread
        try:
            return self._jobs.get(block=not in_the_loop, timeout=LINGER_S)
        except queue.Empty:
            return None

    def _waiting(self) -> Iterator[Job]:
        for _ in range(self._group - 1):
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return
            if job is None:
                self._jobs.put(None)
                return
            yield job

    def _finished(self, connection: sqlite3.Connection) -> None:
        if not self._jobs.empty():
            self._start(connection)
            return
        self._free.append(connection)
        if self._closing is not None and len(self._free) == len(self._connections):
            self._all_free.set()


def _queue_for(readers: int) -> "queue.Queue[Job | None] | queue.SimpleQueue[Job | None]":
    # `SimpleQueue` takes half the time. But with several readers its `get` may wait for good on Python 3.11: where
    # another reader took the item and the timeout has passed, the time that is left is negative, which is no limit.
    return queue.SimpleQueue() if readers == 1 else queue.Queue()


def _settle(group: Sequence[Job]) -> None:
    for job in group:
        job.settle()


def _close_all(connections: Sequence[sqlite3.Connection]) -> None:
    for connection in connections:
        connection.close()
