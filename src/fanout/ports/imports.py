"""Imports into the membership store: channels and memberships that are written many at a time, and their progress.

Every write may be repeated: it changes nothing the second time.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

from fanout.ports.memberships import Channel


class NewMembership(NamedTuple):
    """A membership to begin, unless there is one."""

    channel_id: str
    user_id: str
    joined_at: str


class Imports(Protocol):
    """Bulk writes of channels and memberships. Each call may raise `Unavailable`, and can then be repeated."""

    async def missing_channels(self, channel_ids: Collection[str]) -> set[str]:
        """Return those of some channels that do not exist. A channel that exists is never deleted."""
        ...

    async def create_channels(self, channels: Sequence[Channel]) -> int:
        """Create channels without members. A channel that exists stays as it is.

        Returns:
            how many were created.
        """
        ...

    async def add_memberships(self, new: Sequence[NewMembership], *, published: bool = False) -> int:
        """Make users members. A user who is a member already keeps that membership.

        Args:
            new: the memberships; the same user and channel may come twice.
            published: write them as published, for a store that is filled while no service runs. A store may write a
                membership that begins again as unpublished all the same.

        Returns:
            how many began; if a call was repeated because an answer was lost, fewer than there were.

        Raises:
            ChannelNotFound: one of the channels does not exist; nothing was written.
        """
        ...

    async def progress(self, name: str) -> str | None:
        """Return the text that was last kept under a name, or None."""
        ...

    async def keep_progress(self, name: str, progress: str) -> None:
        """Keep how far an import has come, in place of what was kept under the name before."""
        ...
