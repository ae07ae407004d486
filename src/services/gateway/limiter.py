"""A token bucket per user, in this process."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

MAX_USERS: Final = 100_000
_ROUNDING: Final = 1e-9


class RateLimiter:
    """Lets each user make `burst` calls at once and `rate` a second in the long run.

    A bucket is one float: the time at which it will be full again (the generic cell rate algorithm). Beyond
    `max_users`, the users that made no call for longest are forgotten; their buckets are full when they come back.

    Args:
        rate: calls per second and user.
        burst: calls at once.
        max_users: how many users are remembered.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        rate: float,
        burst: int,
        *,
        max_users: int = MAX_USERS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval = 1.0 / rate
        self._capacity = burst * self._interval
        self._max_users = max_users
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, user_id: str) -> float:
        """Take one call from the user's bucket.

        Returns:
            0 if the bucket had one, otherwise the seconds until it will have one.
        """
        now = self._clock()
        full_at = max(self._full_at.get(user_id, now), now) + self._interval
        wait = full_at - now - self._capacity
        if wait > _ROUNDING:
            return wait
        self._full_at[user_id] = full_at
        self._full_at.move_to_end(user_id)
        if len(self._full_at) > self._max_users:
            self._full_at.popitem(last=False)
        return 0.0
