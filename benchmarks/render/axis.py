"""Where an axis puts a value, and where its marks are."""

import math
from typing import Final

import msgspec

_MARKS: Final = 5


class Axis(msgspec.Struct, frozen=True):
    """From a value to a place in pixels."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """The place of a value; one beyond the end stands at the end."""
        low, high, value = (self._scaled(each) for each in (self.low, self.high, value))
        share = (value - low) / (high - low) if high > low else 0.0
        return self.start + (self.end - self.start) * min(max(share, 0.0), 1.0)

    def marks(self) -> list[float]:
        """Round values between the ends."""
        return _decades(self.low, self.high) if self.log else _round_steps(self.low, self.high)

    def _scaled(self, value: float) -> float:
        return math.log10(max(value, self.low)) if self.log else value


def axis_over(values: list[float], start: float, end: float, *, log: bool) -> Axis:
    """An axis that shows all of them: a linear one from zero, a logarithmic one from a power of ten to another."""
    highest = max(values, default=1.0) or 1.0
    if not log:
        return Axis(0.0, highest * 1.05, start, end)
    lowest = min((value for value in values if value > 0), default=1.0)
    low, high = math.floor(math.log10(lowest)), math.ceil(math.log10(max(highest, lowest)))
    return Axis(10.0**low, 10.0 ** max(high, low + 1), start, end, log=True)


def _decades(low: float, high: float) -> list[float]:
    return [10.0**power for power in range(round(math.log10(low)), round(math.log10(high)) + 1)]


def _round_steps(low: float, high: float) -> list[float]:
    rough = (high - low) / _MARKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
