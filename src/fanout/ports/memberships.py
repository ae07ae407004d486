"""The membership store: channels, their members, and the changes that the log still lacks. Contract sections 4 and 6.

There is one document for each user and channel. A change of it is *published* when its event has been appended to the
log. The change and its mark `unpublished` (in documents and tables: `untold`) are one write, so no change is forgotten,
even if the caller dies before it appends the event. No method needs a transaction over several documents.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

ENDED_KEPT_S: Final = 3_600
"""Seconds for which the document of an ended membership is kept after the end was published."""


ChannelKind = Literal["channel", "dm"]
CHANNEL: Final = "channel"
DM: Final = "dm"
"""A direct message: its two members never change."""


@dataclass(frozen=True, slots=True)
class Channel:
    """The document of a channel, without its first members."""

    channel_id: str
    name: str
    private: bool
    created_by: str
    created_at: str
    kind: ChannelKind = CHANNEL


@dataclass(frozen=True, slots=True)
class Membership:
    """The document of a user and a channel, after the newest change.

    Attributes:
        membership_id: of this membership: a user who joins again gets another.
        version: of this change. It rises with each change of the same user and channel, also after the document was
            deleted, and is at least the time of the change in microseconds since 1970.
        joined_at: when the membership began.
        left_at: when it ended; None while it lasts.
        unpublished: whether the event of the newest change is not on the log yet.
    """

    channel_id: str
    user_id: str
    membership_id: str
    version: int
    joined_at: str
    left_at: str | None = None
    unpublished: bool = True


class Memberships(Protocol):
    """Channels and their members. Each call may raise `Unavailable`."""

    async def create(self, channel: Channel, members: Sequence[str], *, published: bool = False) -> list[Membership]:
        """Create a channel with its first members.

        The channel's document holds the first members until `creation_published`. A store that writes the channel and
        its members separately writes the channel first; if the call ends before the members are written,
        `resume_creation` writes them.

        Args:
            channel: the document.
            members: the first members, each once.
            published: write the changes as published, for a store that is filled before any service runs.

        Returns:
            the memberships, in the order given.

        Raises:
            ChannelExists: there is a channel of that id.
        """
        ...

    async def channel(self, channel_id: str) -> Channel | None:
        """Return the channel's document, or None."""
        ...

    async def unfinished(self, limit: int) -> list[str]:
        """Return the ids of up to `limit` channels for which `creation_published` was not called yet."""
        ...

    async def resume_creation(self, channel_id: str) -> list[Membership] | None:
        """Write the first members of an unfinished channel that have no document yet.

        An existing document stays as it is: a user who has left in the meantime is not added again.

        Returns:
            the documents of the first members, or None if the channel is finished or does not exist.
        """
        ...

    async def creation_published(self, channel_id: str) -> None:
        """Remove the first members from the channel's document, as all of them were published."""
        ...

    async def add(self, channel_id: str, user_ids: Sequence[str], joined_at: str) -> list[Membership]:
        """Make users members. A user who is a member already keeps that membership.

        Returns:
            the memberships of all these users, old and new, in the order given. The caller appends the events of those
            that are `unpublished`.

        Raises:
            ChannelNotFound: there is no such channel.
        """
        ...

    async def remove(self, channel_id: str, user_id: str, left_at: str) -> Membership | None:
        """End a membership.

        Returns:
            the membership that ended, now or earlier; if it is `unpublished`, the caller appends its event. None if the
            store has no document of this user and channel.
        """
        ...

    async def membership(self, channel_id: str, user_id: str) -> Membership | None:
        """Return the document of a user and a channel, or None. Ended memberships are kept for `ENDED_KEPT_S`."""
        ...

    async def is_member(self, channel_id: str, user_id: str) -> bool:
        """Return whether the user is a member now."""
        ...

    async def packed_channels_of(self, user_id: str) -> bytes:
        """Return the ids of the user's channels, sorted and packed (`fanout.packed_ids`)."""
        ...

    async def channels_page(self, user_id: str, after: str, limit: int) -> list[Channel]:
        """Return up to `limit` of the user's channels whose ids are above `after`, sorted by id."""
        ...

    async def members_of(self, channel_id: str) -> list[str]:
        """Return the ids of the channel's members, sorted."""
        ...

    async def member_count(self, channel_id: str, limit: int) -> int:
        """Return the number of the channel's members, or `limit` if there are more."""
        ...

    async def unpublished(self, limit: int) -> list[Membership]:
        """Return up to `limit` memberships whose newest change is unpublished, by rising version."""
        ...

    async def count_unpublished(self) -> int:
        """Return the number of memberships whose newest change is unpublished."""
        ...

    async def renew(self, memberships: Sequence[Membership]) -> list[Membership]:
        """Give unpublished changes a new version, made from the current time.

        Returns:
            the documents with their new versions, without those that were changed or published in the meantime.
        """
        ...

    async def mark_published(self, memberships: Sequence[Membership]) -> None:
        """Mark changes as published. A document that has another version by now stays as it is."""
        ...

    async def changed_since(self, version: int, *, limit: int, after: Membership | None = None) -> list[Membership]:
        """Read a page of the memberships with at least this version, ended ones included.

        Args:
            version: the lowest version.
            limit: the maximum number of memberships. The last page has fewer.
            after: the last membership of the previous page; None for the first page.

        Returns:
            the page, by rising version. A membership that changes while the pages are read comes again on a later page.
        """
        ...

    async def prune(self, limit: int) -> int:
        """Delete up to `limit` documents of memberships whose end was published `ENDED_KEPT_S` ago. Return how many."""
        ...

    async def ping(self) -> None:
        """Return when the store answers."""
        ...
