"""Parquet, read with pyarrow, which is optional: the extra `parquet` of `fanout-services`.

Row groups are read one after the other, and their rows in batches.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

from fanout.errors import FanoutError
from fanout.ports.records import Position, Record
from services.adapters.files.opening import identity_of, naming

BATCH: Final = 5_000
"""Rows that are turned into Python objects at once."""
MISSING: Final = "Parquet needs pyarrow: pip install 'fanout-services[parquet]'"


class ParquetRows:
    """`fanout.ports.records.Records` of the rows of a Parquet file.

    Args:
        path: of the file.
        source: the file.
    """

    def __init__(self, path: Path, source: BinaryIO) -> None:
        pyarrow = _pyarrow()
        self._path = path
        self._source = source
        self._damage = (pyarrow.ArrowException, UnicodeDecodeError)
        self.identity = identity_of(source)
        """See the port."""
        with naming(path, *self._damage):
            self._file = pyarrow.parquet.ParquetFile(source)
        self.fields = list(self._file.schema_arrow.names)
        """See the port."""
        self._schema = _readable(pyarrow, self._file.schema_arrow)
        self._rows = self._file.metadata.num_rows
        self._records = self._all(0)
        self._read = 0

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a file.

        Raises:
            FanoutError: it cannot be read, is no Parquet, or pyarrow is not installed.
        """
        _pyarrow()
        with naming(path):
            source = path.open("rb")
        try:
            return cls(path, source)
        except BaseException:
            source.close()
            raise

    def start(self, position: Position) -> None:
        """See the port."""
        if position.number > self._rows:
            raise FanoutError(f"{self._path} is shorter than it was")
        self._records = self._all(position.number)
        self._read = position.number

    def read(self, limit: int) -> list[Record]:
        """See the port."""
        with naming(self._path, *self._damage):
            records = [record for _, record in zip(range(limit), self._records, strict=False)]
        self._read += len(records)
        return records

    def share(self) -> float | None:
        """See the port."""
        return self._read / self._rows if self._rows else 1.0

    def close(self) -> None:
        """See the port."""
        self._source.close()

    def _all(self, before: int) -> Iterator[Record]:
        """The records after the first `before`."""
        number = 0
        for group in range(self._file.num_row_groups):
            rows = self._file.metadata.row_group(group).num_rows
            if number + rows > before:
                for batch in self._file.iter_batches(BATCH, row_groups=[group]):
                    skipped = min(len(batch), max(0, before - number))
                    readable = batch.slice(skipped).cast(self._schema, safe=False)
                    yield from _records(readable, number + skipped)
                    number += len(batch)
            else:
                number += rows


def _readable(pyarrow: Any, schema: Any) -> Any:
    """The schema with times in microseconds: Python's have no nanoseconds."""
    for at, field in enumerate(schema):
        if pyarrow.types.is_timestamp(field.type):
            schema = schema.set(at, field.with_type(pyarrow.timestamp("us", field.type.tz)))
    return schema


def _records(batch: Any, before: int) -> Iterator[Record]:
    try:
        rows = batch.to_pylist()
    except (ValueError, OverflowError):  # one of its values is no Python object: which, the rows say one by one
        rows = None
    for at in range(len(batch)):
        end = Position(before + at + 1)
        if rows is not None:
            yield Record(end, _present(rows[at]))
            continue
        try:
            yield Record(end, _present(batch.slice(at, 1).to_pylist()[0]))
        except (ValueError, OverflowError) as error:
            yield Record(end, None, problem=f"has a value that cannot be read: {error}")


def _present(row: Mapping[str, object]) -> Mapping[str, object]:
    """The fields of a row that are not null."""
    return {name: value for name, value in row.items() if value is not None}


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet  # noqa: PLC0415 - optional
    except ImportError as error:
        raise FanoutError(MISSING) from error
    return pyarrow
