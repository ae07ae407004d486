"""Users whose presence the table does not have as desired yet."""

import asyncio
from collections.abc import Iterator


class PendingUsers:
    """The pending users in the order in which they became so."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        """By user, lowest first: the number that the user got when it became pending."""
        self._last = 0
        self._ended = asyncio.Event()

    def __contains__(self, user_id: str) -> bool:
        """Whether the user is pending."""
        return user_id in self._numbers

    def __iter__(self) -> Iterator[str]:
        """The users, those first who have been pending for longest."""
        return iter(self._numbers)

    def begin(self, user_id: str) -> None:
        """The user is pending from now on."""
        self._last += 1
        self._numbers[user_id] = self._last

    def end(self, user_id: str) -> None:
        """The table has the user as desired."""
        self._numbers.pop(user_id, None)
        self._ended.set()

    async def settled(self) -> None:
        """Return when no user is pending who was when this was called."""
        last = self._last
        while next(iter(self._numbers.values()), last + 1) <= last:
            self._ended.clear()
            await self._ended.wait()
