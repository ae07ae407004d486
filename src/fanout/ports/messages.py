"""The message store: the history of channels, and threads. Contract section 6.

A reply belongs to its thread, and to its channel too only if it was sent there. A reply that was not is in no history.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from fanout.events import StoredMessage


class Position(NamedTuple):
    """A position in the order of the log, at a message or between two messages."""

    seq: int
    message_id: str = ""
    """Empty: the position just below every message of this `seq`."""


class LogPlace(NamedTuple):
    """The position of an event of the log, with the time at which the log stored it."""

    seq: int
    stored_ns: int
    """When the log stored it, in nanoseconds since 1970."""


class IndexEntry(NamedTuple):
    """Where a message is."""

    channel_id: str
    position: Position
    thread_id: str | None = None
    """The thread that the message is a reply of; None if it is no reply."""
    sender_id: str | None = None
    """Who sent it; None of a message that was stored by a version that did not note it in the index."""


class Page(NamedTuple):
    """One page of a channel's history, or of a thread."""

    messages: list[StoredMessage]
    """Newest first in a channel, oldest first in a thread."""
    next_seq: int | None = None
    """The `seq` of the message that follows the page in the direction of reading; None at the end."""


class Messages(Protocol):
    """The message store. Messages are ordered by `seq`, and those of one `seq` by `message_id`."""

    async def write(self, messages: Sequence[StoredMessage], newest: LogPlace | None = None) -> None:
        """Store messages durably. A message that is stored already stays as it is.

        Its `seq` alone may change, to a higher one: when the log lost its newest events, the same message can come
        again under a new number. Two different messages never replace each other, whatever their `seq`.

        Args:
            messages: to store.
            newest: the newest event of the log that was read so far. It is stored with the messages, or after them.

        Raises:
            Unavailable: the store cannot be reached. Some of the messages may be stored; write all of them again.
        """
        ...

    async def newest_place(self) -> LogPlace | None:
        """Return the highest `newest` that was stored, or None. A log that does not hold this event has lost events."""
        ...

    async def position_of(self, channel_id: str, message_id: str) -> Position | None:
        """Return the position of a message, replies included, or None if the channel does not have it."""
        ...

    async def index_entry(self, message_id: str) -> IndexEntry | None:
        """Return where a message is, whatever its channel; None if it is not stored."""
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
        """Read a page of a channel.

        Args:
            channel_id: the channel.
            before: only messages below this position.
            after: only messages above this position; the page then holds the oldest ones above it.
            limit: the maximum number of messages.
            max_bytes: the maximum length of the messages' JSON, in bytes. One message is returned however long it is.
        """
        ...

    async def replies(
        self, thread_id: str, *, after: Position | None = None, limit: int = 50, max_bytes: int | None = None
    ) -> Page:
        """Read a page of a thread, oldest first. A thread that nobody replied to has an empty one.

        Args:
            thread_id: the thread.
            after: only replies above this position.
            limit: the maximum number of replies.
            max_bytes: as of `history`.
        """
        ...

    async def reply_count(self, thread_id: str, *, after: int = -1, upto: int | None = None) -> int:
        """Return the number of replies that are stored: a reply that is written again counts once.

        Args:
            thread_id: the thread.
            after: only replies above this `seq`.
            upto: only replies up to this `seq`; None for no bound.
        """
        ...

    async def cursor_key(self) -> bytes:
        """Return the random key of 32 bytes that cursors are signed with.

        The store makes it once and keeps it, so every process that opens this store gets the same key.
        """
        ...

    async def ping(self) -> None:
        """Return when the store answers.

        Raises:
            Unavailable: it does not.
        """
        ...
