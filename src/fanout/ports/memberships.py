"""Memberships: who may read what, and which changes of that are still to be told. Contract sections 4 and 6.

A change of a membership and the duty to tell it on the log are one write, of one document for each user and channel.
No method needs a transaction over several documents: a call that changes several makes each change by itself, and each
change that was made carries its duty to be told, whatever became of the call.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

ENDED_KEPT_S: Final = 3_600
"""How long the document of a membership that ended is kept after it was told, in seconds."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel's own document, without the first members that are still to be told."""

    channel_id: str
    name: str
    private: bool
    created_by: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Membership:
    """The document of a user and a channel, as the newest change left it.

    Attributes:
        membership_id: of this membership: a user who joins again gets another.
        version: of this change. It rises with each change of the same user and channel, also after the document was
            deleted, and is at least the time of the change in microseconds since 1970.
        joined_at: when the membership began.
        left_at: when it ended; None while it lasts. One that ended is no membership.
        untold: whether the change is still to be told.
    """

    channel_id: str
    user_id: str
    membership_id: str
    version: int
    joined_at: str
    left_at: str | None = None
    untold: bool = True


class Memberships(Protocol):
    """Channels and their members. Each call may raise `Unavailable`."""

    async def create(self, channel: Channel, members: Sequence[str], *, told: bool = False) -> list[Membership]:
        """Create a channel with its first members.

        The channel's document holds the first members until `creation_told`. A store that writes a channel and its
        members apart writes that document first; where the call ends before the members are written,
        `resume_creation` writes them.

        Args:
            channel: the document.
            members: the first members, none twice.
            told: nobody has to be told: no service runs yet that could have missed the change.

        Returns:
            the memberships, in the order given.

        Raises:
            ChannelExists: there is a channel of that id.
        """
        ...

    async def channel(self, channel_id: str) -> Channel | None:
        """The channel's document, or None."""
        ...

    async def unfinished(self, limit: int) -> list[str]:
        """The ids of up to `limit` channels whose first members were not all told, as far as the store knows."""
        ...

    async def resume_creation(self, channel_id: str) -> list[Membership] | None:
        """Write the first members of an unfinished channel who have no document yet.

        A user who has a document keeps it as it is: who has left since does not come back.

        Returns:
            the documents of the first members, or None where there is nothing to finish.
        """
        ...

    async def creation_told(self, channel_id: str) -> None:
        """All first members were told: the channel's document holds them no more."""
        ...

    async def add(self, channel_id: str, user_ids: Sequence[str], joined_at: str) -> list[Membership]:
        """Make users members; a user who is a member already keeps that membership.

        Returns:
            the memberships of all these users, old and new, in the order given. Those that are `untold` are to be told.

        Raises:
            ChannelNotFound: there is no such channel.
        """
        ...

    async def remove(self, channel_id: str, user_id: str, left_at: str) -> Membership | None:
        """End a membership.

        Returns:
            the membership that ended, now or earlier: where it is `untold`, it is to be told. None where the store
            knows of none.
        """
        ...

    async def membership(self, channel_id: str, user_id: str) -> Membership | None:
        """The document of a user and a channel, also of a membership that ended, while the store keeps it."""
        ...

    async def is_member(self, channel_id: str, user_id: str) -> bool:
        """Whether the user is a member now."""
        ...

    async def channels_of(self, user_id: str) -> list[str]:
        """The ids of the user's channels, sorted."""
        ...

    async def members_of(self, channel_id: str) -> list[str]:
        """The ids of the channel's members, sorted."""
        ...

    async def untold(self, limit: int) -> list[Membership]:
        """Up to `limit` memberships whose newest change is still to be told, by rising version."""
        ...

    async def count_untold(self) -> int:
        """The number of memberships whose newest change is still to be told."""
        ...

    async def renew(self, memberships: Sequence[Membership]) -> list[Membership]:
        """Give untold changes a version of now.

        Returns:
            the documents with their new versions, without those that have changed or were told meanwhile.
        """
        ...

    async def told(self, memberships: Sequence[Membership]) -> None:
        """These changes were told. A document whose version is another by now stays as it is."""
        ...

    async def changed_since(self, version: int, *, limit: int, after: Membership | None = None) -> list[Membership]:
        """Read a page of the memberships that have this version or a newer one, those that ended included.

        Args:
            version: the lowest.
            limit: the most that the page has. The last page has fewer.
            after: the last membership of the page before.

        Returns:
            the page, by rising version. What changes while the pages are read comes again at their end.
        """
        ...

    async def prune(self, limit: int) -> int:
        """Delete up to `limit` documents of memberships that ended and were told `ENDED_KEPT_S` ago; their number."""
        ...

    async def ping(self) -> None:
        """Return when the store answers."""
        ...
