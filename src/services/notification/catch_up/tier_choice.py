"""Which tier a client is in: by how long it was away. Section 5 of the specification of devices."""

from collections.abc import Callable
from typing import Final

from fanout import machine
from services.notification.catch_up.absence import Absence
from services.notification.catch_up.horizons import Horizons

REPLAY: Final = 1
"""The tier in which the log is replayed from the client's point on, and nothing else is needed."""
FULL_REFRESH: Final = 4
"""The tier in which the client reads everything that it shows again."""
TIER_BOUNDS_S: Final = (120.0, 3_600.0, 86_400.0)
"""Seconds. A client that was away for as long as the first bound, or longer, is in tier 2, and so on."""


class TierChoice:
    """Chooses the tier of a client.

    Args:
        horizons: of the messages.
        bounds_s: as `TIER_BOUNDS_S`.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        horizons: Horizons,
        *,
        bounds_s: tuple[float, float, float] = TIER_BOUNDS_S,
        clock: Callable[[], float] = machine.wall_s,
    ) -> None:
        self._horizons = horizons
        self._bounds_s = bounds_s
        self._clock = clock

    async def by_log(self, seq: int) -> int:
        """The tier of a client that has everything up to a seq: by when the first event behind it was stored.

        If the log has discarded events behind that seq, no tier needs the log from there.

        Raises:
            Unavailable: the log does not answer.
        """
        for tier, bound in enumerate(self._bounds_s, REPLAY):
            if seq >= await self._horizons.seq_ago(bound):
                return tier
        return FULL_REFRESH

    def by_clock(self, since: float | None) -> int:
        """The tier of a client that was away since a time in seconds since 1970; None if that is not known."""
        if since is None:
            return FULL_REFRESH
        gap = self._clock() - since
        return REPLAY + sum(gap >= bound for bound in self._bounds_s)

    def away_since(self, absence: Absence) -> float | None:
        """When a client was last connected, in seconds since 1970; None if nobody knows.

        The server's own record counts more than the clock of the client, which says nothing if it is ahead.
        """
        now = self._clock()
        if absence.recorded_at is not None:
            return min(absence.recorded_at, now)
        if absence.last_seen is None or (said := absence.last_seen.timestamp()) > now:
            return None
        return said
