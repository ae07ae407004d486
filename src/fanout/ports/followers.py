"""Who follows which thread. The membership store keeps it, because only members of a channel follow its threads."""

from collections.abc import Sequence
from typing import Protocol


class Followers(Protocol):
    """The followers of threads. Each call may raise `Unavailable`.

    A user follows as a member, by one membership: a user who leaves the channel follows none of its threads from then
    on, and none again after joining again.
    """

    async def follow(self, channel_id: str, thread_id: str, user_ids: Sequence[str]) -> None:
        """Make users follow a thread.

        Users who are no members of the channel now are left out. Repeating the call changes nothing.

        Args:
            channel_id: the channel of the thread.
            thread_id: the thread.
            user_ids: the users.
        """
        ...

    async def followers_of(self, thread_id: str) -> list[str]:
        """Return the ids of a thread's followers, sorted. All are members of the thread's channel."""
        ...
