"""Durations counted in bounded memory, with a relative error under one per cent."""

from collections.abc import Iterable
from itertools import accumulate
from typing import Final

_PRECISION_BITS: Final = 7


class Histogram:
    """How many durations there were of each length, in nanoseconds.

    Lengths up to 127 ns are exact; above, each doubling is cut into 128 steps.
    """

    def __init__(self) -> None:
        self._counts = [0] * ((64 - _PRECISION_BITS) << _PRECISION_BITS)
        self.count = 0
        self.longest = 0
        self.total = 0

    def record(self, durations: Iterable[int]) -> None:
        """Count them."""
        for duration in durations:
            self._counts[_slot(duration)] += 1
            self.count += 1
            self.total += duration
            self.longest = max(self.longest, duration)

    def percentile(self, share: float) -> int:
        """The duration that a share of all (0 to 1) does not exceed; 0 when nothing was counted."""
        return next((round(taken) for seen, taken in self.curve() if seen >= share), self.longest)

    def longer_than(self, duration: int) -> int:
        """How many there were, to the step."""
        return sum(self._counts[_slot(duration) + 1 :])

    def curve(self) -> list[tuple[float, float]]:
        """Points (share of all, nanoseconds), rising: one for each step that was counted."""
        steps = enumerate(zip(self._counts, accumulate(self._counts), strict=True))
        return [(seen / self.count, min(_upper(slot), self.longest)) for slot, (count, seen) in steps if count]


def _slot(duration: int) -> int:
    shift = max(duration.bit_length() - _PRECISION_BITS - 1, 0)
    return (shift << _PRECISION_BITS) + (duration >> shift)


def _upper(slot: int) -> int:
    shift = max((slot >> _PRECISION_BITS) - 1, 0)
    return (slot - (shift << _PRECISION_BITS) + 1 << shift) - 1
