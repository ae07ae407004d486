"""JSON Lines: one JSON object a line, from a file, a gzip file, or a stream.

A line of any length takes bounded memory. Lines may end with CR LF, and the last one without an end.
"""

import gzip
import io
import zlib
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Final, Self

from fanout.errors import FanoutError
from fanout.ports.records import Position, Record
from services.adapters.files.opening import identity_of, naming
from services.adapters.files.stream import StoppableStream

MAX_LINE: Final = 1 << 16
"""Bytes of the longest line, without its end."""
_DISCARDED_AT_ONCE: Final = 1 << 20
_BUFFER: Final = 1 << 20
_BOM: Final = b"\xef\xbb\xbf"

TOO_LONG: Final = f"longer than {MAX_LINE:,} bytes"
BLANK: Final = "blank"
BOM: Final = "begins with a byte order mark, which is ignored"
CRLF: Final = "ends with CR LF; so may others, which are not reported"
NO_NEWLINE: Final = "ends without a newline: the file may be incomplete"


class JsonLines:
    """`fanout.ports.records.Records` of lines.

    Args:
        path: of the file, or a name for error messages.
        lines: is read.
        source: the file itself; None for a stream.
        stream: the stream, if it is one.
    """

    fields = None

    def __init__(
        self, path: Path, lines: BinaryIO, source: BinaryIO | None = None, stream: StoppableStream | None = None
    ) -> None:
        self._path = path
        self._lines = lines
        self._source = source
        self._stream = stream
        self._position = Position()
        self._has_crlf = False
        self.identity = identity_of(source) if source else None
        """See the port."""
        self._size = source.seek(0, io.SEEK_END) if source else 0
        if source:
            source.seek(0)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a file; it is unpacked if its name ends with `.gz`.

        Raises:
            FanoutError: it cannot be read.
        """
        with naming(path):
            source = path.open("rb", buffering=_BUFFER)
            packed = path.suffix == ".gz"
            try:
                # The buffer of `GzipFile` is small, and its `readline` is written in Python.
                lines: BinaryIO = io.BufferedReader(gzip.GzipFile(fileobj=source), _BUFFER) if packed else source
                return cls(path, lines, source)
            except BaseException:
                source.close()
                raise

    @classmethod
    def of_stream(cls, descriptor: int, name: str) -> Self:
        """Read a descriptor to its end."""
        stream = StoppableStream(descriptor)
        return cls(Path(name), io.BufferedReader(stream, _BUFFER), stream=stream)

    def start(self, position: Position) -> None:
        """See the port. A gzip file is unpacked up to there again."""
        with self._naming():
            if self._lines.seek(position.offset) != position.offset:
                raise FanoutError(f"{self._path} is shorter than it was")
        self._position = position

    def read(self, limit: int) -> list[Record]:
        """See the port."""
        records: list[Record] = []
        with self._naming():
            while len(records) < limit and (line := self._lines.readline(MAX_LINE + 2)):
                records.append(self._record(line))
        return records

    def share(self) -> float | None:
        """See the port."""
        if self._source is None or self._source.closed:
            return None
        return min(1.0, self._source.tell() / self._size) if self._size else 1.0

    def close(self) -> None:
        """See the port."""
        if self._stream is not None:
            self._stream.stop()
        elif self._source is not None:
            self._source.close()

    def _naming(self) -> AbstractContextManager[None]:
        return naming(self._path, EOFError, gzip.BadGzipFile, zlib.error)

    def _record(self, line: bytes) -> Record:
        length = len(line)
        too_long = length > MAX_LINE and len(line.rstrip(b"\r\n")) > MAX_LINE
        if too_long and not line.endswith(b"\n"):
            length += self._discard_line()
        number, offset = self._position
        self._position = end = Position(number + 1, offset + length)
        return Record(end, None, problem=TOO_LONG) if too_long else self._usual(end, line)

    def _usual(self, end: Position, line: bytes) -> Record:
        remark = ""
        if not line.endswith(b"\n"):
            remark = NO_NEWLINE
        elif line.endswith(b"\r\n") and not self._has_crlf:
            self._has_crlf = True
            remark = CRLF
        if line.startswith(_BOM):
            line, remark = line[len(_BOM) :], BOM
        line = line.strip()
        return Record(end, line, remark=remark) if line else Record(end, None, remark=BLANK)

    def _discard_line(self) -> int:
        """Read up to the end of the line, and return how many bytes that were."""
        discarded = 0
        while rest := self._lines.readline(_DISCARDED_AT_ONCE):
            discarded += len(rest)
            if rest.endswith(b"\n"):
                break
        return discarded
