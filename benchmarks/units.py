"""Figures as people read them, to three digits. A MB is a million bytes, a us a millionth of a second."""

from collections.abc import Sequence

_Scale = Sequence[tuple[str, float]]
"""Units with their lengths, the longest first."""

_SIZES: _Scale = ((" GB", 1e9), (" MB", 1e6), (" kB", 1e3), (" bytes", 1.0))
_COUNTS: _Scale = (("M", 1e6), ("K", 1e3), ("", 1.0))
_DURATIONS: _Scale = ((" s", 1.0), (" ms", 1e-3), (" us", 1e-6), (" ns", 1e-9))


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
    return f"{_digits(ratio)}x"


def _scaled(value: float, scale: _Scale) -> str:
    unit, length = next((step for step in scale if abs(value) >= step[1]), scale[-1])
    return f"{_digits(value / length)}{unit}"


def _digits(value: float) -> str:
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:g}"  # noqa: PLR2004 - three digits are there
