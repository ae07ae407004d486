"""The machine: what it is, and how much memory there is and is taken."""

import os
import platform
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Final

import msgspec

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class Machine(msgspec.Struct, frozen=True):
    """What the figures depend on."""

    processor: str
    cores: int
    memory_bytes: int
    available_bytes: int
    system: str
    python: str
    huge_pages: str
    """Whether the system gives pages of 2 MB: always, to who asks (madvise), never, or nothing known."""
    load: float
    """Of the last minute: how many others were at work when the run began."""


def this_machine() -> Machine:
    """Describe it."""
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=_meminfo("MemTotal"),
        available_bytes=available_bytes(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        huge_pages=_huge_pages(),
        load=os.getloadavg()[0],
    )


def available_bytes() -> int:
    """How much memory could be taken without swapping: of the machine, or of the control group if that is less."""
    return min(_meminfo("MemAvailable"), _group_room())


def resident_bytes() -> int:
    """How much memory this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES


def watched(call: Callable[[], object]) -> tuple[float, int]:
    """Do it once.

    Returns:
        Seconds; bytes that the process held at most beyond what it had before.
    """
    before = resident_bytes()
    _forget_most_resident()
    began = perf_counter()
    call()
    return perf_counter() - began, _most_resident_bytes() - before


def _most_resident_bytes() -> int:
    """How much memory this process held at most, since `_forget_most_resident` where the system lets us."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return max(int(found[1]) * 1024 if found else 0, resident_bytes())


def _forget_most_resident() -> None:
    """Begin anew to watch for the most."""
    with suppress(OSError):  # not every container may: then the most is that of the whole life of the process
        Path("/proc/self/clear_refs").write_text("5")


def _huge_pages() -> str:
    with suppress(OSError):
        found = re.search(r"\[(\w+)\]", Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text())
        return found[1] if found else ""
    return ""


def _processor() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _meminfo(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    if found is None:
        raise OSError(f"/proc/meminfo does not tell {name}")
    return int(found[1]) * 1024


def _group_room(group: Path = Path("/sys/fs/cgroup")) -> int:
    try:
        most = int((group / "memory.max").read_text())
        return most - int((group / "memory.current").read_text())
    except (OSError, ValueError):  # no such control group, or "max": no limit
        return _meminfo("MemTotal")
