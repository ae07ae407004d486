"""The channels in which something of a user changed: the read pointer, the draft or the membership. Contract section 5.

The store notes a change in the same step that makes it. A device that was away, and an instance that may have missed
notices of the bus, read from here which channels to look at.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

CHANGES_KEPT_S: Final = 86_400
"""Seconds for which a change is known."""
CHANGES_KEPT: Final = 10_000
"""The most channels of one user that are kept, those that changed last. An import changes very many at once."""


class Changes(Protocol):
    """Says which channels of a user changed lately. The store's own clock decides, so no other clock has to agree."""

    async def changed(self, user_ids: Sequence[str], within_s: float) -> Mapping[str, Sequence[str]]:
        """Return the channels of some users in which something changed lately.

        Args:
            user_ids: up to 500 users.
            within_s: how long ago the change may be, in seconds.

        Returns:
            by user, the channels in the order of their last changes, the oldest first. Users without any are left out.

        Raises:
            Unavailable: the store does not answer.
        """
        ...
