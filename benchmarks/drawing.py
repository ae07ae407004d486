"""Channels, drawn the same each time: who is in which, and what they are called."""

from array import array
from collections.abc import Iterable
from itertools import repeat
from random import Random
from typing import Final

_NAMES: Final = 9_999_999_999_999_999_961
"""A prime of 19 digits."""
_FACTOR: Final = 6_180_339_887_498_948_482
"""Times it, modulo the number of names, is one to one, and neighbours are far apart."""
_SPREAD: Final = 2_654_435_761
"""A prime: the same for channels, so that popular ones are not neighbours."""
_SKEWED_TRIES: Final = 16


def channel_names(numbers: Iterable[int]) -> list[str]:
    """New strings, in no order: `c` and 19 digits."""
    return [f"c{(number + 1) * _FACTOR % _NAMES:019d}" for number in numbers]


def sample(seed: int, channels: int, count: int, skew: float, dealt: Iterable[int]) -> "array[int]":
    """Numbers of `count` distinct channels, from 0: those dealt, then drawn ones; the same for the same seed."""
    chance, taken, tries = Random(seed), dict.fromkeys(dealt), 0  # noqa: S311 - the same in each run
    if not len(taken) <= count <= channels:
        raise ValueError(f"{count} distinct numbers cannot be drawn of {channels}, {len(taken)} being dealt")
    while len(taken) < count:
        tries += 1  # a user who has all popular channels gets others, each as likely
        missing = count - len(taken)
        taken.update(dict.fromkeys(_drawn(chance, channels, missing, skew if tries < _SKEWED_TRIES else 0.0)))
    return array("I", taken)


def draws(seed: int, channels: int, count: int, skew: float) -> "array[int]":
    """Numbers of channels, each drawn by itself, so that popular ones come more than once."""
    return array("I", _drawn(Random(seed), channels, count, skew))  # noqa: S311 - the same in each run


def _drawn(chance: Random, channels: int, count: int, skew: float) -> list[int]:
    """By the inverse of a power law's distribution function, cut at both ends; popular ones are spread over all."""
    shares = [chance.random() for _ in repeat(None, count)]
    if skew == 0.0:
        return [int(share * channels) for share in shares]
    if skew == 1.0:
        places = [(channels + 1) ** share for share in shares]
    else:
        top = (channels + 1) ** (1 - skew) - 1
        places = [(share * top + 1) ** (1 / (1 - skew)) for share in shares]
    return [min(int(place) - 1, channels - 1) * _SPREAD % channels for place in places]
