"""The machine: what it is, and how much memory it has and this process holds."""

import os
import platform
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import perf_counter

import msgspec


class Machine(msgspec.Struct, frozen=True):
    """The properties of the machine that the figures depend on."""

    processor: str
    cores: int
    memory_bytes: int
    system: str
    huge_pages: str
    """Whether the system gives pages of 2 MB: always, to a process that asks (madvise), never; empty if unknown."""
    load: float
    """The load average of the last minute when the run began."""


def this_machine() -> Machine:
    """Describe it."""
    return Machine(
        processor=_found("/proc/cpuinfo", r"^model name\s*: (.*)$") or platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=_kilobytes("/proc/meminfo", "MemTotal"),
        system=f"{platform.system()} {platform.release()} {platform.machine()}, {platform.python_implementation()} "
        f"{platform.python_version()}",
        huge_pages=_found("/sys/kernel/mm/transparent_hugepage/enabled", r"\[(\w+)\]"),
        load=os.getloadavg()[0],
    )


def available_bytes(group: Path = Path("/sys/fs/cgroup")) -> int:
    """How much memory can be taken without swapping: of the machine, or of the control group if that is less."""
    available = _kilobytes("/proc/meminfo", "MemAvailable")
    with suppress(OSError, ValueError):  # no such control group, or "max": no limit
        limit, current = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
        return min(available, limit - current)
    return available


def resident_bytes() -> int:
    """How much memory this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def watched(call: Callable[[], object]) -> tuple[float, int]:
    """Call it once: seconds, and the most bytes that the process held beyond what it had before."""
    before = resident_bytes()
    with suppress(OSError):  # where a container does not allow it, the most is that of the whole life of the process
        Path("/proc/self/clear_refs").write_text("5")
    began = perf_counter()
    call()
    return perf_counter() - began, peak_bytes() - before


def peak_bytes() -> int:
    """The most memory that this process has held at a time."""
    return max(_kilobytes("/proc/self/status", "VmHWM"), resident_bytes())


def _kilobytes(path: str, name: str) -> int:
    return int(_found(path, rf"^{name}:\s+(\d+) kB$") or 0) * 1024


def _found(path: str, pattern: str) -> str:
    with suppress(OSError):
        found = re.search(pattern, Path(path).read_text(), re.MULTILINE)
        return found[1] if found else ""
    return ""
