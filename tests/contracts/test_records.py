"""The contract of `fanout.ports.records.Records`, over every format of files."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fanout.errors import FanoutError
from fanout.ports.records import Position, Record, Records
from services.composition.importing import open_records
from tests.support.record_files import WRITERS, Rows

ROWS: Rows = [{"channel_id": f"channel-{number}", "user_id": "bob"} for number in range(40)]

Write = Callable[[Rows], Path]


@pytest.fixture(params=WRITERS)
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Write:
    writer = WRITERS[request.param]
    return lambda rows: writer(tmp_path, rows)


@pytest.fixture
def records(write: Write) -> Iterator[Records]:
    with closing(open_records(write(ROWS), None)) as opened:
        yield opened


def content(record: Record) -> Mapping[str, Any]:
    assert record.content is not None
    decoded: Mapping[str, Any] = json.loads(record.content) if isinstance(record.content, bytes) else record.content
    return decoded


def read_all(records: Records, limit: int) -> list[Record]:
    found: list[Record] = []
    while some := records.read(limit):
        assert len(some) <= limit
        found += some
    return found


@pytest.mark.parametrize("limit", [1, 7, 9, 1_000])
def test_every_record_is_read_once_and_in_order(records: Records, limit: int) -> None:
    found = read_all(records, limit)
    assert [content(record) for record in found] == list(ROWS)
    assert [record.end.number for record in found] == list(range(1, len(ROWS) + 1))
    assert not any(record.problem or record.remark for record in found)


def test_at_the_end_there_is_nothing_more(records: Records) -> None:
    read_all(records, 100)
    assert records.read(100) == []


@pytest.mark.parametrize("done", [1, 6, 7, 8, 39, 40])
def test_reading_goes_on_from_where_another_reader_has_come(write: Write, done: int) -> None:
    path = write(ROWS)
    with closing(open_records(path, None)) as first:
        before = first.read(done)
    with closing(open_records(path, None)) as second:
        second.start(before[-1].end)
        after = read_all(second, 5)
    assert [content(record) for record in [*before, *after]] == list(ROWS)
    assert [record.end.number for record in after] == list(range(done + 1, len(ROWS) + 1))


def test_no_rows_are_the_end(write: Write) -> None:
    with closing(open_records(write([]), None)) as records:
        assert records.read(10) == []
        assert records.share() == 1.0


def test_a_file_is_recognised_until_it_changes(write: Write) -> None:
    path = write(ROWS)
    with closing(open_records(path, None)) as first, closing(open_records(path, None)) as second:
        assert first.identity == second.identity is not None
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    with closing(open_records(path, None)) as touched:
        assert touched.identity != first.identity
    os.utime(write(ROWS[1:]), ns=(status.st_atime_ns, status.st_mtime_ns))
    with closing(open_records(path, None)) as other:
        assert other.identity != first.identity


def test_the_share_rises_to_the_whole(records: Records) -> None:
    shares = [records.share()]
    while records.read(10):
        shares.append(records.share())
    known = [share for share in shares if share is not None]
    assert known == sorted(known)
    assert known[-1] == 1.0


def test_a_damaged_file_is_an_error_that_names_it(write: Write) -> None:
    path = write(ROWS)
    if path.suffix == ".jsonl":
        pytest.skip("a text has no damage but bad lines")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(FanoutError, match=rf"{path.name} is damaged"), closing(open_records(path, None)) as records:
        read_all(records, 100)


def test_a_file_that_is_not_there_is_an_error_that_names_it(write: Write) -> None:
    path = write(ROWS)
    path.unlink()
    with pytest.raises(FanoutError, match=rf"{path.name} cannot be read"):
        open_records(path, None)


def test_a_file_that_ends_before_the_position_is_refused(write: Write) -> None:
    path = write(ROWS)
    if path.suffix == ".jsonl":
        pytest.skip("a file of the same identity has the same length")
    with closing(open_records(path, None)) as records, pytest.raises(FanoutError, match="shorter"):
        records.start(Position(1_000, 1_000_000))
