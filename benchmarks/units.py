"""Figures as people read them, to three digits. A MB is a million bytes, a us a millionth of a second."""

from decimal import Decimal


def size(held: float) -> str:
    """Bytes."""
    return _scaled(held, {" GB": 1e9, " MB": 1e6, " kB": 1e3, " bytes": 1.0})


def count(number: float) -> str:
    """How many, or how many per second."""
    return _scaled(number, {" M": 1e6, " K": 1e3, "": 1.0})


def duration(seconds: float) -> str:
    """A length of time."""
    return _scaled(seconds, {" s": 1.0, " ms": 1e-3, " us": 1e-6, " ns": 1e-9})


def times(ratio: float) -> str:
    """How many times as much."""
    shown = digits(ratio)
    return f"{shown} time{'' if shown == '1' else 's'}"


def counted(number: int, one: str) -> str:
    """Things by number, in full; `one` is what a single one is called."""
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def digits(value: float) -> str:
    """A figure to three digits, never with an exponent."""
    return f"{Decimal(f'{value:.3g}'):,f}"


def _scaled(value: float, lengths: dict[str, float]) -> str:
    unit = next((unit for unit, length in lengths.items() if abs(value) >= length), list(lengths)[-1])
    return f"{digits(value / lengths[unit])}{unit}"
