"""How busy processes and the machine were between two moments."""

import os
import time
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.live.children import processor_seconds

_IDLE: Final = (3, 4)
"""Fields of the first line of /proc/stat behind its name, from 0: idle, and idle while a disk was at work."""
_STOLEN: Final = 7
_COUNTED: Final = 8
"""What comes behind is counted before already."""


class Busy(msgspec.Struct, frozen=True):
    """Shares of the time that passed."""

    processes: dict[str, float]
    """Of one core, by name; a process with several threads may have more than 1."""
    machine: float
    """Of all cores: not idle, whoever was at work, other machines on the same hardware included."""
    stolen: float
    """Of all cores: taken by the host for others."""
    cores: int

    @property
    def others(self) -> float:
        """What programs that are not of the measurement took, in cores."""
        return max(0.0, self.machine * self.cores - sum(self.processes.values()))


class Watch:
    """Since it was made."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        self._processes = self._taken()
        self._machine = _machine()
        self._began = time.monotonic()

    def read(self) -> Busy:
        """Until now."""
        seconds = time.monotonic() - self._began
        after = self._taken()
        ticks = [now - before for now, before in zip(_machine(), self._machine, strict=True)]
        total = sum(ticks) or 1
        return Busy(
            processes={name: (after[name] - before) / seconds for name, before in self._processes.items()},
            machine=1 - sum(ticks[at] for at in _IDLE) / total,
            stolen=ticks[_STOLEN] / total,
            cores=os.cpu_count() or 1,
        )

    def _taken(self) -> dict[str, float]:
        return {name: processor_seconds(pid) for name, pid in self._pids.items()}


def _machine() -> list[int]:
    return [int(ticks) for ticks in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1 : 1 + _COUNTED]]
