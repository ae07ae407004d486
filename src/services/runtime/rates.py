"""Rates of calls, frames and notices: so many at once, and so many a second in the long run."""

from dataclasses import dataclass
from typing import Final

_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Rate:
    """A bucket of tokens that fills by itself (the generic cell rate algorithm, ITU-T I.371, as a virtual schedule).

    A bucket is one float, which its owner keeps: the time at which it will be full again. 0 is a full one.

    Args:
        per_s: tokens that come back each second.
        at_once: tokens in a full bucket.
    """

    per_s: float
    at_once: int

    def spend(self, full_at: float, now: float) -> tuple[float, float]:
        """Take one token.

        Args:
            full_at: the bucket.
            now: monotonic seconds.

        Returns:
            the bucket without the token, and the seconds until the token is there, 0 if it is there now. The owner that
            does not wait so long keeps the bucket that it has.
        """
        interval = 1 / self.per_s
        emptier = max(full_at, now) + interval
        wait = emptier - now - self.at_once * interval
        return emptier, wait if wait > _ROUNDING else 0.0
