"""The channels that a user is most active in: those that a device which comes back gets messages of first."""

from collections.abc import Sequence
from typing import Final, Protocol

MOST_ACTIVE: Final = 50
"""The channels that are kept, those used last."""


class ClientState(Protocol):
    """Keeps the channels that users opened or wrote to last. Each call may raise `Unavailable`."""

    async def note_used(self, used: Sequence[tuple[str, str]]) -> None:
        """Note that users have used channels, each user and channel in one atomic step.

        Args:
            used: users and channels, in the order of the uses.
        """
        ...

    async def active_channels(self, user_id: str) -> list[str]:
        """Return the channels that a user has used, up to `MOST_ACTIVE`, the last used first."""
        ...
