"""Processor time of processes, and how busy the machine was meanwhile."""

import os
import time
from collections.abc import Mapping
from pathlib import Path


class Stopwatch:
    """Counts from when it was made, for process ids by name; 0 is this process."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._began = {name: processor_seconds(pid) for name, pid in pids.items()}
        self._pids, (self._idle, self._total) = pids, _machine_ticks()
        self._clock = time.perf_counter()

    def read(self) -> tuple[float, dict[str, float]]:
        """Seconds until now, and seconds of processor time, user and system, of each process."""
        seconds = time.perf_counter() - self._clock
        return seconds, {name: processor_seconds(pid) - self._began[name] for name, pid in self._pids.items()}

    def busy(self) -> dict[str, float]:
        """Cores that each process and all others took until now, and the share of all cores that was in use."""
        (seconds, processor), (idle, total) = self.read(), _machine_ticks()
        taken = {name: used / seconds for name, used in processor.items()}
        in_use = 1 - (idle - self._idle) / max(1, total - self._total)
        others = max(0.0, in_use * (os.cpu_count() or 1) - sum(taken.values()))
        return taken | {"others": others, "of all cores": in_use}


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
