"""The history of a run: everything that people, processes and faults did, in order."""

import hashlib
from typing import Any, NamedTuple

import orjson

from tests.simulation.hosts import VirtualTime


class Entry(NamedTuple):
    """Something that happened."""

    at: float
    """Seconds since the run began."""
    what: str
    about: dict[str, Any]


class History:
    """The entries of a run.

    Args:
        time: of the run.
    """

    def __init__(self, time: VirtualTime) -> None:
        self.entries: list[Entry] = []
        self._time = time
        self._is_closed = False

    def note(self, what: str, **about: Any) -> None:
        """Add an entry, now."""
        if not self._is_closed:
            self.entries.append(Entry(self._time.now, what, about))

    def close(self) -> None:
        """Take no further entry: the run has ended."""
        self._is_closed = True

    def of(self, *kinds: str) -> list[Entry]:
        """The entries of some kinds, in order."""
        wanted = frozenset(kinds)
        return [entry for entry in self.entries if entry.what in wanted]

    def digest(self) -> str:
        """A hash of the whole history: two runs that differ anywhere have different ones."""
        digest = hashlib.sha256()
        for entry in self.entries:
            digest.update(orjson.dumps((f"{entry.at:.9f}", entry.what, entry.about), option=orjson.OPT_SORT_KEYS))
        return digest.hexdigest()
