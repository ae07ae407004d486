"""Processor time of processes, and how busy the machine was meanwhile."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

_CLOCK_BITS: Final = 3
_PROCESS_CLOCK: Final = 2
"""clock_getcpuclockid(3) makes the id of a process's clock from these; it counts all threads of the process."""
_IDLE: Final = (3, 4)
"""Fields of the first line of /proc/stat after its name, from 0: idle, and idle while a disk worked."""
_STOLEN: Final = 7
_COUNTED: Final = 8
"""The fields after these are parts of fields before them."""
OWN: Final = "own"
"""The name of this process, unless others are named."""


class Elapsed(msgspec.Struct, frozen=True):
    """Time that passed."""

    seconds: float
    processor: dict[str, float]
    """Seconds of processor time, user and system, by process."""

    @property
    def own(self) -> float:
        """Seconds of processor time of this process."""
        return self.processor[OWN]


class Busy(msgspec.Struct, frozen=True):
    """Shares of the time that passed."""

    processes: dict[str, float]
    """Of one core, by process; a process with several threads may use more than 1."""
    machine: float
    """Of all cores: not idle, whatever used them, other machines on the same hardware included."""
    stolen: float
    """Of all cores: taken by the host for others."""
    cores: int

    @property
    def others(self) -> float:
        """What programs outside the measurement took, in cores."""
        return max(0.0, self.machine * self.cores - sum(self.processes.values()))


class Stopwatch:
    """Counts from when it was made.

    Args:
        pids: process ids by name; 0 is this process.
    """

    def __init__(self, pids: Mapping[str, int] | None = None) -> None:
        self._pids = dict(pids or {OWN: 0})
        self._processor = self._taken()
        self._machine = _machine_ticks()
        self._began = time.perf_counter()

    def read(self) -> Elapsed:
        """The time until now."""
        seconds, after = time.perf_counter() - self._began, self._taken()
        return Elapsed(seconds, {name: after[name] - before for name, before in self._processor.items()})

    def busy(self) -> Busy:
        """The shares until now."""
        elapsed = self.read()
        ticks = [now - before for now, before in zip(_machine_ticks(), self._machine, strict=True)]
        total = sum(ticks) or 1
        return Busy(
            processes={name: taken / elapsed.seconds for name, taken in elapsed.processor.items()},
            machine=1 - sum(ticks[at] for at in _IDLE) / total,
            stolen=ticks[_STOLEN] / total,
            cores=os.cpu_count() or 1,
        )

    def _taken(self) -> dict[str, float]:
        return {name: processor_seconds(pid) for name, pid in self._pids.items()}


def processor_seconds(pid: int) -> float:
    """Processor time of a process until now, in seconds; 0 after it has ended."""
    try:
        return time.clock_gettime(~pid << _CLOCK_BITS | _PROCESS_CLOCK)
    except OSError:
        return 0.0


def _machine_ticks() -> list[int]:
    return [int(ticks) for ticks in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1 : 1 + _COUNTED]]
