"""What a page and a terminal both say of a run, in sentences."""

from typing import Final

from benchmarks import units
from benchmarks.machine import Machine
from benchmarks.report import Report

_BUSY: Final = 0.5
"""Load average for each core, from which on a machine is not quiet."""
_LONGER: Final = {1.25: "up to a third longer", 2.0: "up to twice as long"}
"""By the load average for each core, up to which."""
_HUGE_PAGES: Final = {
    "always": "always (good)",
    "madvise": "madvise (good)",
    "never": "never (switched off, so logins are some 25 % slower)",
}
ABOUT_TARGETS: Final = (
    "The project holds itself to these targets at full size, on two quiet cores of a current server. A smaller run is "
    "not judged, except by what is exact at any size. A target that is not met means that this run on this machine was "
    "slower or took more. On a machine that is shared with others, figures differ by more than a third from run to "
    "run: repeat the run, with nothing beside it, before you draw a conclusion."
)
VERDICTS: Final = {True: "met", False: "not met", None: "not judged at this size"}


def conditions(report: Report) -> str:
    """What the figures depend on."""
    machine = report.machine
    return (
        f"Measured on {units.counted(machine.cores, 'core')} of {machine.processor}, "
        f"{units.size(machine.memory_bytes)} of memory, {machine.system}, {machine.python}, transparent huge pages: "
        f"{_HUGE_PAGES.get(machine.huge_pages, 'unknown')}. When the run began, {report.began}: {_load(machine)}. "
        f"It took {units.duration(report.seconds)}."
    )


def warning(machine: Machine) -> str | None:
    """A sentence for a machine that did other work too, or None."""
    if machine.load <= machine.cores * _BUSY:
        return None
    load = machine.load / machine.cores
    longer = next((said for limit, said in _LONGER.items() if load <= limit), "several times as long")
    return f"The machine was busy, {_load(machine)}: expect times {longer}."


def settings_line(settings: dict[str, object]) -> str:
    """The options of a run."""
    return "; ".join(f"{name.replace('_', ' ')} {_setting(value)}" for name, value in settings.items())


def _setting(value: object) -> str:
    if isinstance(value, dict):
        return f"({settings_line(value)})"
    if isinstance(value, list | tuple):
        return ", ".join(map(_setting, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.6g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _load(machine: Machine) -> str:
    return f"load average {machine.load:.1f} on {units.counted(machine.cores, 'core')}"
