"""Messages: the history of channels. Contract section 6."""

from collections.abc import Sequence
from typing import Protocol

from fanout.events import Message


class Messages(Protocol):
    """The message store."""

    async def write(self, messages: Sequence[Message]) -> None:
        """Store messages durably; one that is there already changes nothing."""
        ...

    async def history(
        self, channel_id: str, *, before: str | None = None, after: str | None = None, limit: int = 50
    ) -> list[Message]:
        """A page of a channel, newest first.

        Args:
            channel_id: which channel.
            before: only messages whose id sorts before this one.
            after: only messages whose id sorts after this one; the page is then the oldest ones after it.
            limit: at most so many.
        """
        ...

    async def ping(self) -> None:
        """Return when the store answers."""
        ...
