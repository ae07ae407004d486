"""What is particular to Parquet: types, nulls, row groups, and that pyarrow is optional."""

import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from fanout.errors import FanoutError
from fanout.ports.records import Record
from services.adapters.files.parquet import BATCH, MISSING, ParquetRows
from services.importing.rows import BadRow, MembershipRow, RowReader


def records_of(path: Path, table: Any, **options: Any) -> list[Record]:
    parquet.write_table(table, path, **options)
    with closing(ParquetRows.open(path)) as rows:
        return rows.read(1_000_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.parquet"


def row(record: Record) -> MembershipRow:
    assert record.content is not None
    return RowReader(MembershipRow).read(record.content)


def test_the_columns_are_named(path: Path) -> None:
    parquet.write_table(pa.table({"channel_id": ["a"], "user_id": ["b"]}), path)
    with closing(ParquetRows.open(path)) as rows:
        assert rows.fields == ["channel_id", "user_id"]


def test_a_null_is_a_field_that_is_not_there(path: Path) -> None:
    table = pa.table({"channel_id": ["a", "a"], "user_id": ["b", None], "joined_at": pa.nulls(2)})
    first, second = records_of(path, table)
    assert row(first) == MembershipRow("a", "b")
    with pytest.raises(BadRow, match="user_id"):
        row(second)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_every_unit_are_read(path: Path, unit: str) -> None:
    moment = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    joined = pa.array([moment], pa.timestamp(unit, "UTC"))
    if unit == "ns":
        joined = pa.array([joined[0].value + 1], pa.timestamp("ns", "UTC"))
    [record] = records_of(path, pa.table({"channel_id": ["a"], "user_id": ["b"], "joined_at": joined}))
    assert row(record).joined_at == moment


def test_a_time_without_a_zone_is_refused(path: Path) -> None:
    joined = pa.array([datetime(2024, 5, 6)], pa.timestamp("ms"))  # noqa: DTZ001 - on purpose
    [record] = records_of(path, pa.table({"channel_id": ["a"], "user_id": ["b"], "joined_at": joined}))
    with pytest.raises(BadRow, match="timezone"):
        row(record)


def test_a_time_as_text_and_ids_from_a_dictionary_are_read(path: Path) -> None:
    table = pa.table(
        {
            "channel_id": pa.array(["a"]).dictionary_encode(),
            "user_id": ["b"],
            "joined_at": ["2024-05-06T07:08:09Z"],
        }
    )
    [record] = records_of(path, table)
    assert row(record) == MembershipRow("a", "b", datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC))


def test_a_value_that_is_no_text_is_the_problem_of_its_row_alone(path: Path) -> None:
    users = pa.array([b"bob", b"\xff", b"carol"], pa.binary()).view(pa.string())
    first, second, third = records_of(path, pa.table({"channel_id": ["a"] * 3, "user_id": users}))
    assert (row(first).user_id, row(third).user_id) == ("bob", "carol")
    assert second.content is None
    assert "cannot be read" in second.problem
    assert second.end.number == 2


def test_row_groups_of_any_size_are_read_whole(path: Path) -> None:
    count = 2 * BATCH + 3
    table = pa.table({"channel_id": [f"c{number}" for number in range(count)], "user_id": ["bob"] * count})
    for size in (BATCH - 1, BATCH + 1, count):
        records = records_of(path, table, row_group_size=size)
        assert [record.end.number for record in records] == list(range(1, count + 1))
        assert row(records[-1]).channel_id == f"c{count - 1}"


def test_a_file_that_is_no_parquet_is_refused(path: Path) -> None:
    path.write_bytes(b"not a table")
    with pytest.raises(FanoutError, match=r"rows\.parquet is damaged"):
        ParquetRows.open(path)


def test_without_pyarrow_the_error_says_how_to_get_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(FanoutError) as raised:
        ParquetRows.open(path)
    assert str(raised.value) == MISSING
