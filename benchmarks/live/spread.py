"""How durations are spread: what reports say of delays."""

from collections.abc import Iterable
from typing import Final

import msgspec

from benchmarks.histogram import Histogram

_NS: Final = 1_000_000_000
_SHARES: Final = (0.5, 0.9, 0.99, 0.999)
_PERCENTILES: Final = [f"p{share * 100:g}" for share in _SHARES]
TOLD: Final = [*_PERCENTILES, "longest"]
"""The headings of what is told of a spread."""


class Spread(msgspec.Struct, frozen=True):
    """Durations in seconds."""

    count: int
    percentiles: dict[str, float]
    longest: float
    curve: list[tuple[float, float]]
    """Points (share of all, seconds)."""

    @property
    def median(self) -> float:
        """The duration that half of them do not exceed."""
        return self.percentiles["p50"]

    def told(self) -> list[float]:
        """The durations that a table tells, as `TOLD`."""
        return [*self.percentiles.values(), self.longest]


def spread(nanoseconds: Iterable[int]) -> Spread:
    """The spread of durations, to one per cent."""
    counted = Histogram()
    counted.record(nanoseconds)
    values = (counted.percentile(share) / _NS for share in _SHARES)
    curve = [(share, each / _NS) for share, each in counted.curve()]
    return Spread(counted.count, dict(zip(_PERCENTILES, values, strict=True)), counted.longest / _NS, curve)
