"""Figures as people read them, to three digits. A MB is a million bytes, a us a millionth of a second."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final

_Scale = Sequence[tuple[str, float]]
"""Units with their lengths, the longest first."""

_SIZES: _Scale = ((" GB", 1e9), (" MB", 1e6), (" kB", 1e3), (" bytes", 1.0))
_COUNTS: _Scale = ((" M", 1e6), (" K", 1e3), ("", 1.0))
_DURATIONS: _Scale = ((" s", 1.0), (" ms", 1e-3), (" us", 1e-6), (" ns", 1e-9))
_MARKS: _Scale = ((" G", 1e9), *_COUNTS)
_FINEST_PART: Final = 1_000


def size(held: float) -> str:
    """Bytes."""
    return _scaled(held, _SIZES)


def count(number: float) -> str:
    """How many, or how many per second."""
    return _scaled(number, _COUNTS)


def duration(seconds: float) -> str:
    """A length of time."""
    return _scaled(seconds, _DURATIONS)


def times(ratio: float) -> str:
    """How many times as much."""
    shown = digits(ratio)
    return f"{shown} time{'' if shown == '1' else 's'}"


def counted(number: int, one: str) -> str:
    """Things by number, in full.

    Args:
        number: how many.
        one: what a single one is called; more take an `s`.
    """
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def of_size(share: float) -> str:
    """A part, from 0 to 1, of the size that was asked for, in words."""
    return "the whole size" if share == 1 else f"{Fraction(share).limit_denominator(_FINEST_PART)} of the size"


def mark(value: float) -> str:
    """A mark of an axis."""
    return _scaled(value, _MARKS)


def digits(value: float) -> str:
    """A figure to three digits, never with an exponent."""
    return f"{Decimal(f'{value:.3g}'):,f}"


def _scaled(value: float, scale: _Scale) -> str:
    unit, length = next((step for step in scale if abs(value) >= step[1]), scale[-1])
    return f"{digits(value / length)}{unit}"
