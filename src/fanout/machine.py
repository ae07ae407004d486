"""The clocks and the randomness of the machine that a process runs on.

What reads a clock or takes a random number does so by the functions of this module, but for a few places with reasons
(`tests/architecture/test_machine.py`). The functions ask the current `Machine`. A process has one, of the operating
system. A simulation of several processes in one interpreter gives each of them a machine of its own: `set_current` sets
it for the current context and for the tasks that are started in it.
"""

import os
import random
import time
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TypedDict, TypeVar

from fanout._core import ManualClock
from fanout.ulids import UlidFactory

_T = TypeVar("_T")


class EngineOptions(TypedDict):
    """The clock and the seed of an engine; see `fanout.Engine`."""

    clock: ManualClock | None
    seed: int | None


class Machine:
    """The clocks and the randomness of the operating system. A subclass that calls `super().__init__()` replaces them.

    Attributes:
        ulids: makes the ULIDs of the process. They increase strictly within one machine.
    """

    def __init__(self) -> None:
        self.ulids = UlidFactory(self.wall_ns, self.random_bytes)

    def wall_ns(self) -> int:
        """The time, in nanoseconds since 1970. It may step back."""
        return time.time_ns()

    def monotonic_s(self) -> float:
        """Seconds from a fixed point. They never step back."""
        return time.monotonic()

    def precise_s(self) -> float:
        """Seconds from a fixed point, for the length of short work. They never step back."""
        return time.perf_counter()

    def random_bytes(self, n: int) -> bytes:
        """Return `n` random bytes, which nobody can guess."""
        return os.urandom(n)

    def random_share(self) -> float:
        """A random number from 0 to below 1. It guards nothing."""
        return random.random()  # noqa: S311 - spreads load, guards nothing

    def engine_options(self) -> EngineOptions:
        """The clock and the seed of a new engine: those of the operating system."""
        return {"clock": None, "seed": None}


_current: ContextVar[Machine] = ContextVar("machine", default=Machine())  # noqa: B039 - one for the whole process


def current() -> Machine:
    """The machine of this context; without `set_current`, that of the operating system."""
    return _current.get()


def set_current(machine: Machine) -> None:
    """Set the machine of this context and of those that are copied from it: new tasks, and `asyncio.to_thread`.

    Args:
        machine: the clocks and the randomness of what runs in the context.
    """
    _current.set(machine)


def wall_ns() -> int:
    """The time, in nanoseconds since 1970. It may step back."""
    return _current.get().wall_ns()


def wall_s() -> float:
    """The time, in seconds since 1970. It may step back."""
    return _current.get().wall_ns() / 1e9


def utc_now() -> datetime:
    """The time, in UTC, to the microsecond. It may step back."""
    return datetime.fromtimestamp(_current.get().wall_ns() / 1e9, UTC)


def monotonic_s() -> float:
    """Seconds from a fixed point. They never step back."""
    return _current.get().monotonic_s()


def precise_s() -> float:
    """Seconds from a fixed point, for the length of short work. They never step back."""
    return _current.get().precise_s()


def random_bytes(n: int) -> bytes:
    """Return `n` random bytes, which nobody can guess."""
    return _current.get().random_bytes(n)


def random_token(n: int) -> str:
    """Return `n` random bytes, which nobody can guess, as `2 * n` hexadecimal digits."""
    return _current.get().random_bytes(n).hex()


def random_share() -> float:
    """A random number from 0 to below 1. It guards nothing."""
    return _current.get().random_share()


def random_between(low: float, high: float) -> float:
    """A random number from `low` to `high`, each as likely as the others. It guards nothing."""
    return low + (high - low) * _current.get().random_share()


def random_below(n: int) -> int:
    """A random whole number from 0 to `n - 1`, each as likely as the others. It guards nothing.

    Args:
        n: how many numbers there are. Above 2^53 not every number can come.

    Raises:
        ValueError: there are none.
    """
    if n < 1:
        raise ValueError(f"there is no number from 0 to below {n}")
    return int(_current.get().random_share() * n)


def random_choice(sequence: Sequence[_T]) -> _T:
    """A random element of `sequence`, each as likely as the others. It guards nothing.

    Raises:
        ValueError: the sequence is empty.
    """
    return sequence[random_below(len(sequence))]


def engine_options() -> EngineOptions:
    """The clock and the seed of a new engine, as arguments of `fanout.Engine` and of `Engine.restore`."""
    return _current.get().engine_options()
