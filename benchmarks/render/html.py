"""A report as one HTML page that needs nothing else: no script, no font, no picture from elsewhere."""

from html import escape
from importlib.resources import files
from typing import Final

from benchmarks import units
from benchmarks.machine import Machine
from benchmarks.render.svg import svg
from benchmarks.report import BarPlot, LinePlot, Report, Row, Section, Table, Target


def html(report: Report) -> str:
    """The page."""
    style = files("benchmarks.render").joinpath("style.css").read_text()
    body = [
        f"<h1>{escape(report.title)}</h1>",
        f"<p>{escape(report.summary)}</p>",
        f'<p class="warning">{escape(busy)}</p>' if (busy := warning(report.machine)) else "",
        f"<p>{escape(report.background)}</p>",
        f'<p class="quiet">{escape(described(report.machine))} {escape(_when(report))}</p>',
        *map(_section, report.sections),
        _targets(report.targets) if report.targets else "",
        "<h2>How it was run</h2>",
        f'<p class="quiet">{escape(settings_line(report.settings))}</p>',
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{escape(report.title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def _when(report: Report) -> str:
    return f"Begun {report.began}, took {units.duration(report.seconds)}."


def described(machine: Machine) -> str:
    """What the figures depend on, in a sentence."""
    return (
        f"Measured on {units.counted(machine.cores, 'core')} of {machine.processor}, "
        f"{units.size(machine.memory_bytes)} of memory, {machine.system}, {machine.python}, transparent huge pages: "
        f"{_HUGE_PAGES.get(machine.huge_pages, 'unknown')}. When the run began: {_load(machine)}."
    )


def warning(machine: Machine) -> str | None:
    """A sentence for a machine that did something else as well, and none for one that was quiet enough."""
    if machine.load <= machine.cores * _BUSY:
        return None
    crowd = machine.load / machine.cores
    longer = next((said for limit, said in _LONGER.items() if crowd <= limit), "several times as long")
    return f"The machine was busy, {_load(machine)}: expect times {longer}."


def _load(machine: Machine) -> str:
    return f"load average {machine.load:.1f} on {units.counted(machine.cores, 'core')}"


_BUSY: Final = 0.5
"""Of the cores, from which on a machine is not quiet."""
_LONGER: Final = {1.25: "up to a third longer", 2.0: "up to twice as long"}
"""By how many others wanted each core, up to which."""
_HUGE_PAGES: Final = {
    "always": "always (good)",
    "madvise": "madvise (good)",
    "never": "never (switched off, so logins are some 25 % slower)",
}


def settings_line(settings: dict[str, object]) -> str:
    """What was asked for."""
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


ABOUT_TARGETS: Final = (
    "A target is what the project holds itself to at full size, on two quiet cores of a server of today; a smaller run "
    "is not judged, except by what is exact at any size. Where a target is not met, the engine works as ever, only "
    "this run on this machine was slower or took more. Figures of a machine that is shared with others differ by more "
    "than a third from run to run, so run it again, with nothing beside it, before you conclude anything."
)


def verdict(met: bool | None) -> str:  # noqa: FBT001 - it is the target's own word
    """In words."""
    return {True: "met", False: "not met", None: "not judged at this size"}[met]


def _targets(targets: list[Target]) -> str:
    classes = {True: "met", False: "missed", None: "quiet"}
    rows = "".join(
        f'<tr><td class="text">{escape(target.what)}</td><td>{escape(target.wanted)}</td>'
        f'<td>{escape(target.measured)}</td><td class="{classes[target.met]}">{verdict(target.met)}</td></tr>'
        for target in targets
    )
    head = "<tr><th>target</th><th>wanted</th><th>measured</th><th></th></tr>"
    about = f"<h2>Targets</h2><p>{escape(ABOUT_TARGETS)}</p>"
    return f'{about}<div class="wide"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


def _section(section: Section) -> str:
    return (
        f"<h2>{escape(section.title)}</h2><p>{escape(section.text)}</p>"
        + "".join(map(_plot, section.plots))
        + "".join(map(_table, section.tables))
    )


def _plot(plot: BarPlot | LinePlot) -> str:
    caption = f"<figcaption>{escape(plot.meaning)}</figcaption>"
    return f"<figure><h3>{escape(plot.title)}</h3>{svg(plot)}{caption}</figure>"


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in ["", *table.columns])
    rows = "".join(map(_row, table.rows))
    return (
        f'<div class="wide"><table><thead><tr>{head}<th class="meaning">what it says</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(row: Row) -> str:
    cells = "".join(f"<td>{escape(cell)}</td>" for cell in row.cells)
    kind = "part" if row.part else "whole"
    return f'<tr><td class="{kind}">{escape(row.name)}</td>{cells}<td class="meaning">{escape(row.meaning)}</td></tr>'
