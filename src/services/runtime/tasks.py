"""Background tasks with an owner, work done at the same time, and work that is repeated while it is unavailable."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import structlog

from fanout.errors import Unavailable

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

FIRST_DELAY_S = 0.05
"""The pause after the first failure; each that follows is twice as long."""
LONGEST_DELAY_S = 2.0
CANCEL_AGAIN_AFTER_S = 1.0
_MOST_DOUBLINGS: Final = 30


class Tasks:
    """A group of long-lived tasks that ends with its owner.

    Leaving the context cancels the tasks that still run and waits for them. A failure of a task is logged, and
    `on_failure` is called with it, so that the process can stop instead of running on without one of its parts.
    """

    def __init__(self, on_failure: Callable[[BaseException], None]) -> None:
        self._on_failure = on_failure
        self._tasks: dict[asyncio.Task[None], None] = {}  # a set that keeps its order

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cancel()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run `work` until it ends or the group does."""
        task = asyncio.create_task(work, name=name)
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    async def cancel(self) -> None:
        """Cancel every task, and wait until each has ended."""
        while self._tasks:
            await _cancel_once(list(self._tasks))

    async def stop(self, task: "asyncio.Task[None]") -> None:
        """Cancel one task, and wait until it has ended."""
        while not task.done():
            await _cancel_once([task])

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if task.cancelled() or (error := task.exception()) is None:
            return
        log.error("task failed", task=task.get_name(), exc_info=error)
        self._on_failure(error)


async def _cancel_once(tasks: "list[asyncio.Task[None]]") -> None:
    """Cancel tasks and wait for them, a second at most.

    Once may not be enough: on Python 3.11 a cancellation that comes in the same turn of the loop as the result of
    `asyncio.wait_for` is lost, and the task goes on.
    """
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=CANCEL_AGAIN_AFTER_S)


class Outage:
    """Attempts at one piece of work that may be unavailable: how long to pause, and what to log.

    The one place where pauses grow. The first failure of an outage and its end are logged, and nothing between.

    Args:
        what: the work's name in the log.
        longest_s: the longest pause, in seconds; `LONGEST_DELAY_S` unless given.
        level: of the first failure's log line.
    """

    def __init__(self, what: str, *, longest_s: float | None = None, level: int = logging.WARNING) -> None:
        self._what = what
        self._longest_s = longest_s
        self._level = level
        self._failures = 0

    def failed(self, error: Unavailable) -> float:
        """Take note of a failed attempt; returns the seconds to pause before the next one."""
        if not self._failures:
            log.log(self._level, "cannot be done now, is tried again", what=self._what, reason=str(error))
        longest = LONGEST_DELAY_S if self._longest_s is None else self._longest_s
        pause = min(FIRST_DELAY_S * 2.0**self._failures, longest)
        self._failures = min(self._failures + 1, _MOST_DOUBLINGS)
        return pause

    def succeeded(self) -> None:
        """Take note of an attempt that succeeded: the next pause is the first one again."""
        if self._failures:
            log.log(min(self._level, logging.INFO), "works again", what=self._what)
        self._failures = 0


async def all_ended(work: Iterable[Awaitable[_T]]) -> list[_T]:
    """Do several things at the same time, as `asyncio.gather`, but return or raise only when all of them have ended.

    Args:
        work: what to do.

    Returns:
        the results, in the order of `work`.

    Raises:
        BaseException: the first error, in that order.
    """
    results: list[_T] = []
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
        results.append(result)
    return results


async def periodic(seconds: float, work: Callable[[], Awaitable[None]], what: str) -> None:
    """Do `work` now and then every `seconds`, until it is cancelled. Work that is unavailable is tried again next time.

    Args:
        seconds: from the end of one run to the beginning of the next.
        work: what to do; any error but `Unavailable` ends the loop.
        what: its name in the log.
    """
    outage = Outage(what)
    while True:
        try:
            await work()
        except Unavailable as error:
            outage.failed(error)
        else:
            outage.succeeded()
        await asyncio.sleep(seconds)


async def retry_forever(
    work: Callable[[], Awaitable[_T]], what: str, *, longest_s: float | None = None, level: int = logging.WARNING
) -> _T:
    """Do `work` until it succeeds: while it raises `Unavailable` it is tried again, with growing pauses.

    Args:
        work: what to do; any error but `Unavailable` is raised.
        what: its name in the log.
        longest_s: the longest pause, in seconds; `LONGEST_DELAY_S` unless given.
        level: of the log line of the first failure.

    Returns:
        what `work` returns. To give up, cancel it.
    """
    return await _retry(work, Outage(what, longest_s=longest_s, level=level), math.inf)


async def retry_times(attempts: int, work: Callable[[], Awaitable[_T]], what: str) -> _T:
    """`retry_forever` that gives up. Attempts count and not seconds: an attempt may fail at once, or by a timeout.

    Args:
        attempts: the most that are made.
        work: what to do.
        what: its name in the log.

    Returns:
        what `work` returns.

    Raises:
        Unavailable: the last attempt failed.
    """
    return await _retry(work, Outage(what), attempts)


async def _retry(work: Callable[[], Awaitable[_T]], outage: Outage, attempts: float) -> _T:
    while True:
        try:
            done = await work()
        except Unavailable as error:
            pause, attempts = outage.failed(error), attempts - 1
            if not attempts:
                raise
            await asyncio.sleep(pause)
        else:
            outage.succeeded()
            return done
