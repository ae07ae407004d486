"""Memberships: who may read what. Contract section 6."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel's own document."""

    channel_id: str
    name: str
    private: bool
    created_by: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Membership:
    """A user's membership of a channel."""

    channel_id: str
    user_id: str
    joined_at: str


class Memberships(Protocol):
    """Channels and their members."""

    async def create(self, channel: Channel, members: Sequence[str]) -> list[Membership]:
        """Create a channel with its first members, all or nothing.

        Raises:
            ChannelExists: there is one of that id.
        """
        ...

    async def channel(self, channel_id: str) -> Channel | None:
        """The channel's document, or None."""
        ...

    async def add(self, channel_id: str, user_ids: Sequence[str], joined_at: str) -> list[Membership]:
        """Make users members; whoever is one already keeps the membership that is there.

        Returns:
            the memberships of all these users, old and new, in the order given.

        Raises:
            ChannelNotFound: there is no such channel.
        """
        ...

    async def remove(self, channel_id: str, user_id: str) -> Membership | None:
        """End a membership; the one that ended, or None where there was none."""
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

    async def ping(self) -> None:
        """Return when the store answers."""
        ...
