"""A file of rows in memory, and a watcher that remembers."""

from collections.abc import Mapping, Sequence

from fanout.errors import Unavailable
from fanout.ports.records import Position, Record
from services.importing.tally import Tally


class ListedRecords:
    """`Records` of a list. Each content is JSON, the fields of a row, or None; a text is a problem."""

    def __init__(
        self,
        contents: Sequence[bytes | Mapping[str, object] | str | None],
        identity: str | None = "file-1",
        fields: Sequence[str] | None = None,
    ) -> None:
        self.identity = identity
        self.fields = fields
        self.closed = False
        self.started_at: Position | None = None
        self.most_at_once = 0
        self._records = [
            Record(Position(number, 10 * number), None, problem=content)
            if isinstance(content, str)
            else Record(Position(number, 10 * number), content, remark="" if content else "blank")
            for number, content in enumerate(contents, 1)
        ]
        self._read = 0

    def start(self, position: Position) -> None:
        assert position.offset == 10 * position.number
        self.started_at = position
        self._read = position.number

    def read(self, limit: int) -> list[Record]:
        found = self._records[self._read : self._read + limit]
        self._read += len(found)
        self.most_at_once = max(self.most_at_once, len(found))
        return found

    def share(self) -> float | None:
        return self._read / len(self._records) if self._records else 1.0

    def close(self) -> None:
        self.closed = True


class RecordingWatcher:
    """Remembers what an import told."""

    def __init__(self) -> None:
        self.remarks: list[tuple[int, str]] = []
        self.problems: list[tuple[int, str]] = []
        self.read: list[int] = []
        self.settled = 0
        self.resumed_at: list[int] = []

    def resumed(self, tally: Tally) -> None:
        self.resumed_at.append(tally.lines)

    def remark(self, number: int, text: str) -> None:
        self.remarks.append((number, text))

    def problem(self, number: int, text: str) -> None:
        self.problems.append((number, text))

    def progress(self, tally: Tally, share: float | None) -> None:
        self.read.append(tally.lines)

    def settling(self) -> None:
        self.settled += 1


class DeadError(Exception):
    """A process that is killed where it stands."""


AWAY = Unavailable("away")
