"""Identical reads, joined: when thousands of clients open one channel at once, it is read a few times."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

_K = TypeVar("_K", bound=Hashable)
_T = TypeVar("_T")


class JoinedReads(Generic[_K, _T]):
    """Joins identical reads, of which one runs and one waits at most.

    A caller gets the result of a read that began after its call. The result of one that was under way already could
    lack what the caller knows to be stored.

    Args:
        read: reads what a key names.
    """

    def __init__(self, read: Callable[[_K], Awaitable[_T]]) -> None:
        self._read = read
        self._running: dict[_K, asyncio.Task[_T]] = {}
        self._next: dict[_K, asyncio.Task[_T]] = {}

    async def get(self, key: _K) -> _T:
        """The result of a read that begins now or later. It goes on for the others if this call is cancelled."""
        task = self._next.get(key)
        if task is None:
            task = self._next[key] = asyncio.create_task(self._run(key, self._running.get(key)))
            task.add_done_callback(_seen)
        return await asyncio.shield(task)

    async def _run(self, key: _K, earlier: asyncio.Task[_T] | None) -> _T:
        if earlier is not None:
            await asyncio.wait([earlier])
        task = self._running[key] = self._next.pop(key)
        try:
            return await self._read(key)
        finally:
            if self._running.get(key) is task:
                del self._running[key]


def _seen(task: asyncio.Task[_T]) -> None:
    """An error is not reported a second time, as one that nobody has seen."""
    if not task.cancelled():
        task.exception()
