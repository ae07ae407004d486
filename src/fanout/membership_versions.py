"""Versions of memberships: which of two changes of the same user and channel is the newer one.

There are tens of millions of memberships, so the versions of recent changes alone are kept. A change that
may be older than a forgotten one is `UNKNOWN`; then the membership store has to be asked.
"""

from collections import OrderedDict
from collections.abc import Hashable
from enum import Enum
from typing import Final, TypeVar

from fanout import machine

CAPACITY: Final = 50_000
"""Versions that are kept: they take at most 20 MB."""
CLOCK_SKEW_US: Final = 10_000_000
"""How far the clocks of the processes that make versions may be apart, in microseconds."""

_K = TypeVar("_K", bound=Hashable)


def now_us() -> int:
    """The lowest version of a change that is made now: microseconds since 1970."""
    return machine.wall_ns() // 1_000


class Age(Enum):
    """The age of a change, compared with the known changes of the same user and channel."""

    NEWEST = "newest"
    """Nothing newer has been seen, and nothing newer can have been forgotten."""
    OLDER = "older"
    """A newer change has been seen."""
    UNKNOWN = "unknown"
    """A newer change may have been seen and forgotten, or may be in a list that was loaded."""


class MembershipVersions:
    """The versions of recent changes, of a bounded number of users and channels.

    Args:
        known_at: when the reader began, in microseconds since 1970: it holds what the store held then, and so must not
            trust a change from before.
        capacity: the most users and channels, and the most users with a list, that are kept.
    """

    def __init__(self, known_at: int, *, capacity: int = CAPACITY) -> None:
        self._floor = known_at + CLOCK_SKEW_US
        self._capacity = capacity
        self._seen: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._loaded: OrderedDict[str, int] = OrderedDict()

    def loaded(self, user_id: str, at: int) -> None:
        """The user's whole list is loaded from the store at `at`, in microseconds, or later."""
        self._keep(self._loaded, user_id, at + CLOCK_SKEW_US)

    def seen(self, user_id: str, channel_id: str, version: int) -> None:
        """A change was applied, or the store has said that this is the newest version."""
        key = (user_id, channel_id)
        self._keep(self._seen, key, max(version, self._seen.get(key, 0)))

    def age(self, user_id: str, channel_id: str, version: int, now: int) -> Age:
        """Compare a change with what is known; the same change again is no older.

        Args:
            user_id: whose membership changed.
            channel_id: of which channel.
            version: of the change.
            now: microseconds since 1970. A version from the future orders nothing until the store was asked.
        """
        if version < self._seen.get((user_id, channel_id), 0):
            return Age.OLDER
        known = max(self._floor, self._loaded.get(user_id, 0))
        return Age.NEWEST if known < version <= now + CLOCK_SKEW_US else Age.UNKNOWN

    def _keep(self, kept: OrderedDict[_K, int], key: _K, value: int) -> None:
        kept[key] = value
        kept.move_to_end(key)
        if len(kept) > self._capacity:
            self._floor = max(self._floor, kept.popitem(last=False)[1])
