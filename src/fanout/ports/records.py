"""Files of records: one JSON object a line, or the rows of a table."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class Position(NamedTuple):
    """A place between two records of a file."""

    number: int = 0
    """How many lines or rows are before it."""
    offset: int = 0
    """How many bytes are before it, where lines are counted."""


class Record(NamedTuple):
    """A line or a row."""

    end: Position
    """Behind it; `end.number` is its own number, from 1."""
    content: bytes | Mapping[str, object] | None
    """The JSON, or the fields of a row; None where there is nothing to import."""
    problem: str = ""
    """Why it cannot be read, if it cannot."""
    remark: str = ""
    """Something unusual about it, though it can be read."""


class Records(Protocol):
    """An open file of records. `read` and `close` may block, so an event loop calls them in a thread."""

    @property
    def identity(self) -> str | None:
        """A text that another file, or the same file after a change, does not have; None for a stream."""
        ...

    @property
    def fields(self) -> Sequence[str] | None:
        """The names of the columns; None where each record has names of its own."""
        ...

    def start(self, position: Position) -> None:
        """Go to a position that an earlier `read` of the same file returned. Called once, before the first `read`.

        Raises:
            FanoutError: the file is shorter, or damaged.
        """
        ...

    def read(self, limit: int) -> list[Record]:
        """Return up to `limit` records, fewer only at the end. The memory does not depend on the file's length.

        Raises:
            FanoutError: the file cannot be read, or is damaged.
        """
        ...

    def share(self) -> float | None:
        """How much of the file was read, from 0 to 1; None if its length is not known."""
        ...

    def close(self) -> None:
        """Close the file; a `read` that waits for more of a stream returns."""
        ...
