"""The form of a benchmark case: the command line, the runner and the report are made from this."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Final, Generic, TypeVar

import msgspec
from msgspec.structs import replace

from benchmarks.apart import Stages
from benchmarks.machine import this_machine
from benchmarks.report import Report

QUICK: Final = 1 / 50
"""The part of the work that a quick run does, where nothing else is said."""
_LEAST: Final = 100
_ENGINE: Final = (
    "Fanout passes chat messages on to those who are online. Its engine, a library written in Rust, holds a routing "
    "table in the memory of one process: for each channel, the server instances to which its readers are connected. A "
    "user is connected to one instance and is in many channels; a membership is one user in one channel. All users are "
    "online at once: count those of your busiest hour, and not your accounts. When a user comes online, the engine "
    "enters the user in each of the user's channels; for each message it looks the channel up and puts the message "
    "once into the batch of each instance."
)

O = TypeVar("O", bound=msgspec.Struct)  # noqa: E741 - of options


@dataclass(frozen=True)
class Case(Generic[O]):
    """One benchmark.

    A field of the options whose type has a `msgspec.Meta` with a description is an option of the command line.
    """

    name: str
    help: str
    """For the command line; its first paragraph is a sentence."""
    options: type[O]
    run: Callable[[O, Stages], Report]
    """Measure; it raises a `BenchError` where there are no figures."""
    quick: Callable[[O], O]
    """The options of a quick run, made from those of a full one."""
    stages: int
    """How often `run` begins a stage."""
    background: str = _ENGINE
    """A text for a reader of the report who has never heard of Fanout."""

    def measure(self, options: O, stages: Stages) -> Report:
        """Run it, and add the conditions under which it ran; raises a `BenchError` where there are no figures."""
        machine, began, clock = this_machine(), datetime.now(UTC).isoformat(timespec="seconds"), perf_counter()
        report = self.run(options, stages)
        settings, seconds = msgspec.to_builtins(options), perf_counter() - clock
        about = {"name": self.name, "background": self.background, "settings": settings}
        return replace(report, **about, machine=machine, began=began, seconds=seconds)


def part(given: int, fraction: float = QUICK) -> int:
    """A part of a number of things, and never so few that figures say nothing."""
    return min(given, max(_LEAST, round(given * fraction)))
