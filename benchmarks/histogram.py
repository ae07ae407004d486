"""Durations counted in bounded memory, with a relative error under one per cent."""

from collections import Counter
from collections.abc import Iterable
from itertools import accumulate
from typing import Final

_PRECISION_BITS: Final = 7


class Histogram:
    """How many durations there were of each length, in nanoseconds.

    Lengths up to 255 ns are exact; above, each doubling is cut into 128 steps.
    """

    def __init__(self) -> None:
        self._counts = Counter[int]()
        self.count = 0
        self.longest = 0
        self.total = 0

    def record(self, durations: Iterable[int]) -> None:
        """Count them."""
        for duration in durations:
            self._counts[_step(duration)] += 1
            self.count += 1
            self.total += duration
            self.longest = max(self.longest, duration)

    def percentile(self, share: float) -> int:
        """The duration that a share of all (0 to 1) does not exceed; 0 when nothing was counted."""
        return next((round(taken) for seen, taken in self.curve() if seen >= share), self.longest)

    def longer_than(self, duration: int) -> int:
        """How many there were, to the step."""
        return sum(count for step, count in self._counts.items() if step > _step(duration))

    def curve(self) -> list[tuple[float, float]]:
        """Points (share of all, nanoseconds), rising: one for each step that was counted."""
        steps = sorted(self._counts)
        seen = accumulate(self._counts[step] for step in steps)
        return [(of / self.count, min(step, self.longest)) for of, step in zip(seen, steps, strict=True)]


def _step(duration: int) -> int:
    """The longest duration that is counted as this one is."""
    shift = max(duration.bit_length() - _PRECISION_BITS - 1, 0)
    return ((duration >> shift) + 1 << shift) - 1
