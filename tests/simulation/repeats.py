"""What repeats in a story: equal lines of one device or process become one, and so do equal broken promises."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.simulation.evidence import Broken
from tests.simulation.history import Entry

_REPEATED: Final = {
    "history": ("channel",),
    "announces": ("user",),
    "asks for users": ("to",),
    "presence set": ("instance",),
    "logs": ("event",),
}
"""The kinds of entries that may repeat, each with the fields of which a line is remembered."""
_TIMES: Final = re.compile(r"at \d+\.\d+ s |up to \d+")


@dataclass
class Line:
    """A line of a story.

    Attributes:
        text: of the line, with its time.
        entry: that it tells.
    """

    text: str
    entry: Entry
    repeats: int = 0
    until: float = 0.0


def collapsed(lines: Iterable[Line]) -> Iterator[Line]:
    """The lines, without those that repeat an earlier one of the same device or process with nothing new in between.

    Args:
        lines: in order. One that is repeated says how often, and until when.
    """
    told: list[Line] = []
    newest: dict[str, dict[tuple[Any, ...], Line]] = {}
    for line in lines:
        own, key = newest.setdefault(_whose(line.entry), {}), _key(line.entry)
        known = own.get(key) if key is not None else None
        if known is not None and _sentence(known) == _sentence(line):
            known.repeats += 1
            known.until = line.entry.at
            continue
        if key is None:
            own.clear()
        else:
            own[key] = line
        told.append(line)
    for line in told:
        if line.repeats:
            line.text += f"; {_again(line.repeats)}, until {line.until:.3f} s"
        yield line


def grouped(broken: Sequence[Broken]) -> Iterator[str]:
    """The broken promises; those that differ in nothing but their times are one.

    Args:
        broken: in order.
    """
    alike: dict[tuple[str, str], list[str]] = {}
    for promise, what in broken:
        alike.setdefault((promise, _TIMES.sub("", what)), []).append(what)
    for (promise, _), found in alike.items():
        again = f"; {_again(len(found) - 1)}" if len(found) > 1 else ""
        yield f"{promise}: {found[0]}{again}"


def _again(times: int) -> str:
    return f"and so {times} times more" if times > 1 else "and so once more"


def _sentence(line: Line) -> str:
    return line.text.partition(" s  ")[2]


def _whose(entry: Entry) -> str:
    return str(entry.about.get("device") or entry.about.get("process") or "")


def _key(entry: Entry) -> tuple[Any, ...] | None:
    """What a line is remembered by; None for one that does not repeat."""
    if entry.what == "frame" and entry.about["frame"]["type"] == "heartbeat.ok":
        return ("heartbeat",)
    if entry.what in _REPEATED:
        return (entry.what, *(entry.about[field] for field in _REPEATED[entry.what]))
    return None
