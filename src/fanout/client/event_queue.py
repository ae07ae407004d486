"""Events on their way from the connection to the program, as many as fit."""

import asyncio
from collections import deque
from collections.abc import Iterable

from fanout.client.protocol import Received


class EventQueue:
    """Holds what the program has not taken yet. What is put in is not lost when the one that puts it is cancelled.

    Args:
        size: how many events may wait before the connection is not read any more.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: deque[Received] = deque()
        self._ending: Exception | None = None
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    @property
    def is_full(self) -> bool:
        """Whether the caller of `put` must wait for room before it puts more."""
        return not self._room.is_set()

    def put(self, events: Iterable[Received]) -> None:
        """Add events, all of them."""
        self._waiting.extend(events)
        if self._waiting:
            self._arrived.set()
        if len(self._waiting) >= self._size:
            self._room.clear()

    async def wait_for_room(self) -> None:
        """Wait until the program has taken enough."""
        await self._room.wait()

    def end(self, ending: Exception) -> None:
        """Let `get` raise an error once all events are taken. A second call changes nothing."""
        self._ending = self._ending or ending
        self._arrived.set()

    async def get(self) -> Received:
        """The next event.

        Raises:
            Exception: the one that `end` was given.
        """
        while not self._waiting:
            if self._ending is not None:
                raise self._ending
            self._arrived.clear()
            await self._arrived.wait()
        event = self._waiting.popleft()
        if len(self._waiting) < self._size:
            self._room.set()
        return event
