"""The sentences about a run that a page and a terminal share."""

from typing import Final

from benchmarks import units
from benchmarks.machine import Machine
from benchmarks.report import Report, Row, Table

_ABOUT_TARGETS: Final = (
    "The project holds itself to these targets at full size, on two quiet cores of a current server. A smaller run is "
    "held to none of them, except to what is exact at any size. A target that is not met means that this run on this "
    "machine was slower or took more. On a machine that is shared with others, figures differ by more than a third "
    "from run to run: repeat the run, with nothing beside it, before you draw a conclusion."
)
_RESULTS: Final = {True: "met", False: "not met", None: "no target at this size"}


def targets(report: Report) -> Table:
    """The targets as a table, whose last column says whether they are met."""
    rows = [Row(each.what, [each.wanted, each.measured, _RESULTS[each.met]]) for each in report.targets]
    return Table("Targets", _ABOUT_TARGETS, ["wanted", "measured", "result"], rows)


def conditions(report: Report) -> str:
    """The conditions that the figures depend on."""
    machine = report.machine
    return (
        f"Measured on {units.counted(machine.cores, 'core')} of {machine.processor}, "
        f"{units.size(machine.memory_bytes)} of memory, {machine.system}, transparent huge pages: "
        f"{machine.huge_pages or 'unknown'}. When the run began, {report.began}: {_load(machine)}. "
        f"It took {units.duration(report.seconds)}."
    )


def warning(machine: Machine) -> str:
    """A sentence for a machine of which other work took more than half of the cores, else nothing."""
    busy = machine.load > machine.cores / 2
    return f"The machine was busy, {_load(machine)}: expect longer times." if busy else ""


def settings_line(value: object) -> str:
    """The options of a run, in words and figures."""
    if isinstance(value, dict):
        return "; ".join(f"{name.replace('_', ' ')} {settings_line(of)}" for name, of in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(settings_line, value))
    return f"{value:,}" if type(value) in {int, float} else str(value)


def _load(machine: Machine) -> str:
    return f"load average {machine.load:.1f} on {units.counted(machine.cores, 'core')}"
