"""Figures as people read them. A MB is a million bytes."""


def size(count: float) -> str:
    """Bytes."""
    for unit, length in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(count) >= length:
            return f"{count / length:,.3g} {unit}" if abs(count) < 1e3 * length else f"{count / length:,.0f} {unit}"
    return f"{count:.3g} bytes"


def count(number: float) -> str:
    """How many, or how many per second."""
    for unit, length in (("M", 1e6), ("K", 1e3)):
        if abs(number) >= length:
            return f"{number / length:,.3g}{unit}" if abs(number) < 1e3 * length else f"{number / length:,.0f}{unit}"
    return f"{number:,.3g}"


def duration(seconds: float) -> str:
    """A length of time."""
    for unit, length in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= length:
            return f"{seconds / length:,.3g} {unit}" if seconds < 1e3 * length else f"{seconds / length:,.0f} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def times(ratio: float) -> str:
    """How many times as much."""
    return f"{ratio:,.2g}x" if ratio < 10 else f"{ratio:,.0f}x"
