"""Unread counts, mentions and read pointers. Contract sections 5 and 6.

The store counts the messages of each channel in the order of the log. A read pointer keeps the count at its position,
so the unread messages of a user are the difference, less the user's own messages. A message therefore costs one step,
however many members its channel has. A user without a pointer has read nothing that was counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from fanout.ports.messages import LogPlace

MENTIONS_KEPT: Final = 1_000
"""How many unread mentions of one user and channel the store knows by position. Older ones are a number."""


class CountedMessage(NamedTuple):
    """A message, as unread counts need to know it."""

    seq: int
    channel_id: str
    message_id: str
    sender_id: str
    mentions: tuple[str, ...] = ()
    """The users that it mentions, each once, without the sender."""
    in_channel: bool = True
    """False for a reply that is in its thread alone: it mentions, and counts in no channel."""
    stored_ns: int = 0
    """When the log stored it, in nanoseconds since 1970; 0 if that is not known."""


@dataclass(frozen=True, slots=True)
class ReadPosition:
    """A position in a channel up to which a user has read."""

    seq: int = 0
    count: int = 0
    """The messages of the channel that were counted up to there. Only differences have a meaning."""
    own: int = 0
    """Those of them that the user sent."""
    message_id: str = ""
    """The message there; empty before the first."""
    read_at: str = ""


@dataclass(frozen=True, slots=True)
class ChannelState:
    """A channel as one user has read it. The store reads all of it in one step."""

    place: int
    """All messages of the log up to here are counted; 0 before the first."""
    latest_id: str
    """The newest counted message of the channel; empty before the first."""
    latest_seq: int
    count: int
    """The messages that were counted in the channel."""
    own: int
    """Those of them that the user sent."""
    pointer: ReadPosition
    mentions: int
    """Unread mentions of the user."""
    mentions_from: int
    """The position of the oldest mention of which the store knows the position; 0 if it knows them all."""

    @property
    def unread(self) -> int:
        """The unread messages of the user. A pointer may be ahead of the counter, and then there are none."""
        return max(0, (self.count - self.own) - (self.pointer.count - self.pointer.own))


class Unread(NamedTuple):
    """The unread messages and mentions of one channel."""

    messages: int
    mentions: int


class UnreadCounts(Protocol):
    """Counts messages, and keeps read pointers. Each call is one atomic step, and may raise `Unavailable`."""

    async def place(self) -> LogPlace | None:
        """Return the position up to which all messages of the log are counted; None before the first."""
        ...

    async def count(self, messages: Sequence[CountedMessage], *, after: int) -> int:
        """Count messages. Those at or below the store's position were counted before, and are skipped.

        A store that is behind `after` counts nothing: it lacks messages before these. A store that has counted nothing
        yet begins at `after`.

        Args:
            messages: all messages of the log after `after`, by rising `seq`.
            after: the position that they follow.

        Returns:
            the store's position afterwards.
        """
        ...

    async def states(self, user_id: str, channel_ids: Sequence[str]) -> list[ChannelState]:
        """Return how a user has read some channels, up to 500, in the order given."""
        ...

    async def unread(self, user_id: str, channel_ids: Sequence[str]) -> Mapping[str, Unread]:
        """Return what a user has not read in some channels, up to 500. Channels without any are left out."""
        ...

    async def mark_read(
        self, user_id: str, channel_id: str, position: ReadPosition, *, older_mentions: int = 0
    ) -> bool:
        """Raise the user's read pointer. The mentions up to there are read.

        Args:
            user_id: the user.
            channel_id: the channel.
            position: where to. The counts are those of this position, whatever was counted since.
            older_mentions: the mentions after the position that are below `ChannelState.mentions_from`.

        Returns:
            False if the pointer is there or further already, or the user has left. Then nothing changes.
        """
        ...

    async def joined(self, user_id: str, channel_id: str, version: int, position: ReadPosition) -> bool:
        """Begin a membership: what is up to the position is read. A pointer that is further stays where it is.

        Args:
            user_id: who joined.
            channel_id: the channel.
            version: of the membership. A change that is not newer than the last one is ignored.
            position: the end of the log at the join.

        Returns:
            whether the change is newer.
        """
        ...

    async def left(self, user_id: str, channel_id: str, version: int) -> bool:
        """End a membership: forget the pointer and the mentions, and those of messages that are counted later.

        Returns:
            whether the change is newer.
        """
        ...

    async def correct(self, user_id: str, channel_id: str, pointer: ReadPosition, mentions: Sequence[int]) -> bool:
        """Replace the counts at a pointer, and add mentions that are missing.

        Args:
            user_id: the user.
            channel_id: the channel.
            pointer: with the position that it has, and the counts that it should have.
            mentions: positions after the pointer, rising, at which the user is mentioned.

        Returns:
            False if the pointer is not there any more. Then nothing changes.
        """
        ...

    async def ping(self) -> None:
        """Return when the store answers."""
        ...
