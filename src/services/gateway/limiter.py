"""A token bucket per user, in this process."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from fanout import machine
from services.runtime.rates import Rate

MAX_USERS: Final = 100_000


class RateLimiter:
    """Lets each user make `burst` calls at once and `rate` a second in the long run.

    A bucket is one float; see `Rate`. Beyond `max_users`, the users that made no call for longest are forgotten; their
    buckets are full when they come back.

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
        clock: Callable[[], float] = machine.monotonic_s,
    ) -> None:
        self._rate = Rate(rate, burst)
        self._max_users = max_users
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, user_id: str) -> float:
        """Take one call from the user's bucket.

        Returns:
            0 if the bucket had one, otherwise the seconds until it will have one.
        """
        full_at, wait = self._rate.spend(self._full_at.get(user_id, 0.0), self._clock())
        if wait:
            return wait
        self._full_at[user_id] = full_at
        self._full_at.move_to_end(user_id)
        if len(self._full_at) > self._max_users:
            self._full_at.popitem(last=False)
        return 0.0
