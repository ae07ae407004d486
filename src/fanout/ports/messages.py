"""Messages: the history of channels. Contract section 6."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from fanout.events import StoredMessage


class Position(NamedTuple):
    """A place in the order of the log, at a message or between two."""

    seq: int
    message_id: str = ""
    """Empty: the place just below every message of this `seq`."""


class LogPlace(NamedTuple):
    """An event of the log whose message was stored."""

    seq: int
    stored_ns: int
    """When the log stored it, in nanoseconds since 1970."""


class Page(NamedTuple):
    """A part of a channel's history."""

    messages: list[StoredMessage]
    """Newest first."""
    next_seq: int | None = None
    """The `seq` of the message that follows the page in the direction of reading; None where none does."""


class Messages(Protocol):
    """The message store. Messages are ordered by `seq`, and those of one `seq` by `message_id`."""

    async def write(self, messages: Sequence[StoredMessage], newest: LogPlace | None = None) -> None:
        """Store messages durably, and with them the newest place that the log was seen to hold.

        A message that the store has already stays as it is, except that a higher `seq` moves it there: after a log
        that went back, the same message comes again under a new number. Two messages never replace each other,
        whatever their `seq`.
        """
        ...

    async def newest_place(self) -> LogPlace | None:
        """The highest place that was stored with messages: the log is to hold it still."""
        ...

    async def position_of(self, channel_id: str, message_id: str) -> Position | None:
        """The place of a message in a channel, or None where the store does not have it in that channel."""
        ...

    async def history(
        self,
        channel_id: str,
        *,
        before: Position | None = None,
        after: Position | None = None,
        limit: int = 50,
        max_bytes: int | None = None,
    ) -> Page:
        """A page of a channel.

        Args:
            channel_id: which channel.
            before: only messages below this place.
            after: only messages above this place; the page then holds the oldest ones above it.
            limit: the page holds at most so many messages.
            max_bytes: the JSON of the page's messages has at most so many bytes, but one message is always in it.
        """
        ...

    async def cursor_key(self) -> bytes:
        """A random key of 32 bytes that the store makes once and keeps: the same for all who open this store.

        Cursors are signed with it.
        """
        ...

    async def ping(self) -> None:
        """Return when the store answers."""
        ...
