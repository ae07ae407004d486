"""A cache of membership checks: which users were found to be members of which channels, a short time ago.

Only "is a member" is cached: a user who joins is let in at once, whichever process made the change. An answer is used
only while every change of memberships is known to be heard. Otherwise each check asks the membership store.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import Counter, Gauge

from fanout import machine
from fanout.error_codes import NOT_A_MEMBER
from fanout.errors import CallRejected
from fanout.ports.memberships import Memberships

CAPACITY: Final = 100_000
"""Answers that are kept: with ids of 20 bytes they take 35 MB, with the longest ids 52 MB."""
MAX_AGE_S: Final = 60.0
"""Seconds for which an answer is used. It bounds what follows if the store is changed without an event."""
MAX_LAG_S: Final = 0.8
"""Seconds for which answers are used after the time up to which all changes were heard: less than the one second after
which a user who was removed must be refused."""

CHECKS: Final = Counter("fanout_membership_checks", "Checks of a membership, by who answered", ["answered_by"])
ENTRIES: Final = Gauge("fanout_membership_cache_entries", "Answers that the cache of membership checks holds")
DROPPED: Final = Counter(
    "fanout_membership_cache_dropped", "Answers that were dropped from the cache of membership checks", ["reason"]
)

_HITS: Final = CHECKS.labels("cache")
_MISSES: Final = CHECKS.labels("store")
_CHANGED: Final = DROPPED.labels("changed")
_AGED: Final = DROPPED.labels("age")
_FULL: Final = DROPPED.labels("full")
_CLEARED: Final = DROPPED.labels("cleared")

_Key = tuple[str, str]


class _Read:
    """A check that the store has not answered yet."""

    __slots__ = ("began", "changed", "cleared")

    def __init__(self, began: float) -> None:
        self.began = began
        self.changed = False
        """Whether the membership may have changed since the read began."""
        self.cleared = False
        """Whether the cache was cleared since the read began."""


class MembershipCache:
    """Checks memberships, and remembers who was a member.

    It asks the store for each check until `heard_up_to` is called, and again when that is not called for `MAX_LAG_S`.

    Args:
        memberships: the store.
        capacity: the most answers that are kept; then those go that were not used for longest.
        max_age_s: seconds for which an answer is used.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        memberships: Memberships,
        *,
        capacity: int = CAPACITY,
        max_age_s: float = MAX_AGE_S,
        clock: Callable[[], float] = machine.monotonic_s,
    ) -> None:
        self._memberships = memberships
        self._capacity = capacity
        self._max_age_s = max_age_s
        self._clock = clock
        self._began: OrderedDict[_Key, float] = OrderedDict()
        """When the read began that found the user to be a member, the least recently used first."""
        self._reads: dict[_Key, list[_Read]] = {}
        self._heard_up_to = -math.inf

    def __len__(self) -> int:
        return len(self._began)

    @property
    def is_current(self) -> bool:
        """Whether every change is known to be heard, but for the last `MAX_LAG_S` seconds."""
        return self._clock() - self._heard_up_to <= MAX_LAG_S

    async def is_member(self, channel_id: str, user_id: str) -> bool:
        """Whether the user is a member. A removal that was heard, or is older than a second, is always respected.

        Raises:
            Unavailable: the store has to be asked, and does not answer.
        """
        key = (channel_id, user_id)
        if self._holds(key):
            _HITS.inc()
            return True
        _MISSES.inc()
        while True:
            with self._reading(key) as read:
                is_member = await self._memberships.is_member(channel_id, user_id)
            if not read.changed:
                break
        if is_member and not read.cleared and self.is_current:
            self._keep(key, read.began)
        return is_member

    async def check(self, channel_id: str, user_id: str) -> None:
        """Return if the user is a member.

        Raises:
            CallRejected: the user is none.
            Unavailable: as of `is_member`.
        """
        if not await self.is_member(channel_id, user_id):
            raise CallRejected(NOT_A_MEMBER)

    def changed(self, channel_id: str, user_id: str) -> None:
        """A membership has changed, or may have: the store is asked again, also for checks that are under way."""
        key = (channel_id, user_id)
        for read in self._reads.get(key, ()):
            read.changed = True
        self._drop(key, _CHANGED)

    def heard_up_to(self, at: float) -> None:
        """Every change that was published before `at`, in monotonic seconds, was given to `changed`.

        If answers were not used until now, those that were kept earlier are dropped: while the log is away, changes are
        made that are published, and so heard, much later.
        """
        if not self.is_current:
            self.clear()
        self._heard_up_to = max(at, self._heard_up_to)

    def clear(self) -> None:
        """Drop every answer, and use none until `heard_up_to` is called."""
        for reads in self._reads.values():
            for read in reads:
                read.cleared = True
        _CLEARED.inc(len(self._began))
        ENTRIES.dec(len(self._began))
        self._began.clear()
        self._heard_up_to = -math.inf

    def _holds(self, key: _Key) -> bool:
        began = self._began.get(key)
        if began is None or not self.is_current:
            return False
        if self._clock() - began > self._max_age_s:
            self._drop(key, _AGED)
            return False
        self._began.move_to_end(key)
        return True

    def _keep(self, key: _Key, began: float) -> None:
        if key not in self._began:
            ENTRIES.inc()
        self._began[key] = began
        if len(self._began) > self._capacity:
            self._drop(next(iter(self._began)), _FULL)

    def _drop(self, key: _Key, reason: Counter) -> None:
        if self._began.pop(key, None) is not None:
            ENTRIES.dec()
            reason.inc()

    @contextmanager
    def _reading(self, key: _Key) -> Iterator[_Read]:
        read = _Read(self._clock())
        reads = self._reads.setdefault(key, [])
        reads.append(read)
        try:
            yield read
        finally:
            reads.remove(read)
            if not reads:
                del self._reads[key]
