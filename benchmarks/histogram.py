"""Durations counted in bounded memory, with a relative error under one per cent."""

from collections.abc import Iterable
from typing import Final

_PRECISION_BITS: Final = 7
_HALF: Final = 1 << _PRECISION_BITS
_OCTAVES: Final = 64 - _PRECISION_BITS


class Histogram:
    """How many durations there were of each length, in nanoseconds.

    Lengths up to 127 ns are exact; above, each doubling is cut into 128 steps.
    """

    def __init__(self) -> None:
        self._counts = [0] * (_HALF * _OCTAVES)
        self.count = 0
        self.longest = 0
        self.total = 0

    def record(self, durations: Iterable[int]) -> None:
        """Count them."""
        counts = self._counts
        for duration in durations:
            counts[_slot(duration)] += 1
            self.count += 1
            self.total += duration
            self.longest = max(self.longest, duration)

    def percentile(self, share: float) -> int:
        """The duration that a share of all (0 to 1) does not exceed; 0 when nothing was counted."""
        wanted, seen = share * self.count, 0
        for slot, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return min(_upper(slot), self.longest)
        return self.longest

    def longer_than(self, duration: int) -> int:
        """How many there were, to the step."""
        return sum(self._counts[_slot(duration) + 1 :])

    def curve(self) -> list[tuple[float, float]]:
        """Points (share of all, nanoseconds), rising: one for each step that was counted."""
        points, seen = [], 0
        for slot, count in enumerate(self._counts):
            if count:
                seen += count
                points.append((seen / self.count, float(min(_upper(slot), self.longest))))
        return points


def _slot(duration: int) -> int:
    shift = max(duration.bit_length() - _PRECISION_BITS - 1, 0)
    return (shift << _PRECISION_BITS) + (duration >> shift)


def _upper(slot: int) -> int:
    shift = max((slot >> _PRECISION_BITS) - 1, 0)
    return (slot - (shift << _PRECISION_BITS) + 1 << shift) - 1
