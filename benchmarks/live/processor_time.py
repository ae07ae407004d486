"""Processor time of processes, and how busy the machine was meanwhile."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

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


class Stopwatch:
    """Counts from when it was made, for processes by name; 0 is the id of this process."""

    def __init__(self, pids: Mapping[str, int] | None = None) -> None:
        self._pids = dict(pids or {OWN: 0})
        self._processor = self._taken()
        self._idle, self._total = _machine_ticks()
        self._began = time.perf_counter()

    def read(self) -> Elapsed:
        """The time until now."""
        seconds, after = time.perf_counter() - self._began, self._taken()
        return Elapsed(seconds, {name: after[name] - before for name, before in self._processor.items()})

    def busy(self) -> dict[str, float]:
        """Cores that each process and all others took until now, and the share of all cores that was in use."""
        elapsed, (idle, total) = self.read(), _machine_ticks()
        taken = {name: seconds / elapsed.seconds for name, seconds in elapsed.processor.items()}
        used = 1 - (idle - self._idle) / max(1, total - self._total)
        others = max(0.0, used * (os.cpu_count() or 1) - sum(taken.values()))
        return taken | {"others": others, "of all cores": used}

    def _taken(self) -> dict[str, float]:
        return {name: processor_seconds(pid) for name, pid in self._pids.items()}


def processor_seconds(pid: int) -> float:
    """Processor time of all threads of a process until now, in seconds; 0 after it has ended."""
    try:
        return time.clock_gettime(~pid << 3 | 2)  # the id of a process's clock, as clock_getcpuclockid(3) makes it
    except OSError:
        return 0.0


def _machine_ticks() -> tuple[int, int]:
    """Idle ticks of all cores, also those in which a disk worked, and all ticks: the first line of /proc/stat."""
    ticks = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))
    return sum(ticks[3:5]), sum(ticks)
