"""Files of rows in every format that an import reads."""

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import parquet

Rows = Sequence[Mapping[str, Any]]


def json_lines(rows: Rows) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def write_jsonl(folder: Path, rows: Rows) -> Path:
    path = folder / "rows.jsonl"
    path.write_bytes(json_lines(rows))
    return path


def write_gzip(folder: Path, rows: Rows) -> Path:
    path = folder / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(json_lines(rows)))
    return path


def write_parquet(folder: Path, rows: Rows, *, group: int = 7) -> Path:
    path = folder / "rows.parquet"
    parquet.write_table(pa.Table.from_pylist(list(rows)), path, row_group_size=group)
    return path


WRITERS: Final[Mapping[str, Callable[[Path, Rows], Path]]] = {
    "jsonl": write_jsonl,
    "gzip": write_gzip,
    "parquet": write_parquet,
}
"""By format; each returns the file that it wrote."""
