"""What all reports have in common."""

from collections.abc import Mapping
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, Final

import msgspec

from benchmarks.apart import run_apart
from benchmarks.machine import Machine, this_machine
from benchmarks.measure.agreement import Agreed, AgreementSettings, agreement
from benchmarks.population import Population
from benchmarks.report import Report, Section, Target
from benchmarks.stages import Stages

SPEC: Final = Population(users=100_000, channels=5_000_000, memberships=30_000_000, instances=100)
"""The sizing of the platform's specification."""
_BACKGROUND: Final = (
    "Fanout passes chat messages on to those who are online. Its engine, a library written in Rust, holds a routing "
    "table in the memory of one process: for each channel, the server instances to which its readers are connected. A "
    "user is connected to one instance and is in many channels; a membership is one user in one channel. All users are "
    "online at once: count those of your busiest hour, and not your accounts. When a user "
    "comes online, the engine enters the user in each of the user's channels; for each message it looks the channel up "
    "and puts the message once into the batch of each instance."
)
_COMPARED: Final = Population(users=300, channels=3_000, memberships=30_000, instances=20)


class Run:
    """A run from its beginning: the machine as it was then, and the clock.

    Args:
        background: what a reader has to know who knows nothing of it; by default, of the engine.
    """

    def __init__(self, background: str = _BACKGROUND) -> None:
        self._background = background
        self._machine: Machine = this_machine()
        self._began = datetime.now(UTC)
        self._clock = perf_counter()

    def report(
        self,
        name: str,
        title: str,
        summary: str,
        settings: msgspec.Struct,
        targets: list[Target],
        sections: list[Section],
        figures: Mapping[str, Any],
    ) -> Report:
        """All of it."""
        return Report(
            name=name,
            title=title,
            summary=summary,
            background=self._background,
            machine=self._machine,
            began=self._began.isoformat(timespec="seconds"),
            seconds=perf_counter() - self._clock,
            settings=msgspec.to_builtins(settings),
            targets=targets,
            sections=sections,
            figures=dict(figures),
        )


def agree_first(stages: Stages) -> None:
    """Nothing is compared in speed that does not give the same answers.

    Raises:
        BenchError: the engine and an alternative differ.
    """
    run_apart(agreement, AgreementSettings(_COMPARED), Agreed, stages("checking that all tables answer alike"))
