"""Background tasks with an owner: none is forgotten, none fails unseen."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

import structlog

from fanout.errors import Unavailable

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

FIRST_DELAY_S = 0.05
LONGEST_DELAY_S = 2.0
CANCEL_AGAIN_AFTER_S = 1.0


class Tasks:
    """A group of long-lived tasks that ends with its owner.

    Leaving the context cancels what still runs and waits for it. A task that fails is logged, and `on_failure` is
    told once, so that the process can stop instead of living on without one of its parts.
    """

    def __init__(self, on_failure: Callable[[BaseException], None]) -> None:
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cancel()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run `work` until it ends or the group does."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def cancel(self) -> None:
        """Cancel every task, and wait until each has ended."""
        # Once may not be enough: on Python 3.11 `asyncio.wait_for` answers a cancellation that comes in the same turn
        # as its result with the result, and the task goes on.
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(list(self._tasks), timeout=CANCEL_AGAIN_AFTER_S)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        log.error("task failed", task=task.get_name(), exc_info=error)
        self._on_failure(error)


async def periodic(seconds: float, work: Callable[[], Awaitable[None]], what: str) -> None:
    """Do `work` now and every `seconds` after, for ever; a store that is down is logged once and tried again.

    Args:
        seconds: from the end of one run to the beginning of the next.
        work: what to do; anything but `Unavailable` ends the loop.
        what: its name in the log.
    """
    down = False
    while True:
        try:
            await work()
        except Unavailable as error:
            if not down:
                log.warning("cannot be done now, will go on trying", what=what, reason=str(error))
            down = True
        else:
            if down:
                log.info("works again", what=what)
            down = False
        await asyncio.sleep(seconds)


async def retry_forever(work: Callable[[], Awaitable[_T]], what: str) -> _T:
    """Do `work`, again and again while it raises `Unavailable`, with growing pauses; cancel it to give up.

    An outage is logged when it begins and when it ends.
    """
    delay = FIRST_DELAY_S
    while True:
        try:
            done = await work()
        except Unavailable as error:
            if delay == FIRST_DELAY_S:
                log.warning("cannot be done now, will go on trying", what=what, reason=str(error))
        else:
            if delay > FIRST_DELAY_S:
                log.info("works again", what=what)
            return done
        await asyncio.sleep(delay)
        delay = min(delay * 2, LONGEST_DELAY_S)
