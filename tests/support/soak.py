"""The sizes and durations of tests with two forms: a short one in every run, and a full one in `make soak`.

Both forms are one test with another parameter, and every such parameter is made here.
"""

import logging
from dataclasses import dataclass
from typing import TypeVar

import pytest
from _pytest.mark.structures import ParameterSet

_SHOWN = logging.getLogger("soak")
_T = TypeVar("_T")


@dataclass(frozen=True)
class Outage:
    """A time without the message store, and what is posted meanwhile."""

    seconds: float
    messages: int


@dataclass(frozen=True)
class Traffic:
    """What a whole run posts and reads. A reply counts as a message, too."""

    messages: int
    replies: int
    marks: int
    receipts: int


@dataclass(frozen=True)
class Channels:
    """The channels of one user, and how many of them have messages."""

    all: int
    with_messages: int


def progress(text: str, *values: object) -> None:
    """Say how far a test has come. `make soak` shows it."""
    _SHOWN.info(text, *values)


def _short_and_full(short: _T, full: _T, *, full_within_s: float) -> list[ParameterSet]:
    marks = [pytest.mark.soak, pytest.mark.timeout(full_within_s)]
    return [pytest.param(short, id="short"), pytest.param(full, id="full", marks=marks)]


ROUNDS_OF_READING = _short_and_full(200, 2_000, full_within_s=600)
STORE_AWAY = _short_and_full(Outage(2, 300), Outage(600, 5_000), full_within_s=1_500)
NODE_KILLED_FOR_S = _short_and_full([0.0], [0.0, 0.0, 900.0, 0.0, 0.0], full_within_s=2_400)
NODE_STANDS_STILL_S = _short_and_full(0.0, 60.0, full_within_s=600)
IMPORTED_LINES = _short_and_full(20_000, 1_000_000, full_within_s=1_800)
LINES_OF_A_LARGE_FILE = _short_and_full(100_000, 1_000_000, full_within_s=1_800)
CHANNELS_OF_ONE_USER = _short_and_full(Channels(5_000, 100), Channels(100_000, 2_000), full_within_s=1_200)
CHANNELS_OF_THREE_USERS = _short_and_full(5_000, 100_000, full_within_s=1_200)
WHOLE_RUN = _short_and_full(Traffic(1_000, 100, 50, 100), Traffic(50_000, 5_000, 1_000, 5_000), full_within_s=3_000)
