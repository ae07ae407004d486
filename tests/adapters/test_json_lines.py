"""Lines of every kind: which are read, which are reported, and that their length costs no memory."""

import io
import os
import threading
import tracemalloc
from pathlib import Path

import pytest

from fanout.ports.records import Record
from services.adapters.files.json_lines import BLANK, BOM, CRLF, MAX_LINE, NO_NEWLINE, TOO_LONG, JsonLines

MIB = 1 << 20


def records_of(data: bytes) -> list[Record]:
    return JsonLines(Path("rows"), io.BytesIO(data)).read(1_000)


@pytest.mark.parametrize(
    ("data", "content", "remark"),
    [
        (b"{}\n", b"{}", ""),
        (b"{}\r\n", b"{}", CRLF),
        (b"{}", b"{}", NO_NEWLINE),
        (b"\xef\xbb\xbf{}\n", b"{}", BOM),
        (b"\n", None, BLANK),
        (b"\r\n", None, BLANK),
        (b"  \t\n", None, BLANK),
        (b"\xff\xfe\n", b"\xff\xfe", ""),
        (b"{}\r{}\n", b"{}\r{}", ""),
    ],
)
def test_a_line_of_each_kind(data: bytes, content: bytes | None, remark: str) -> None:
    [record] = records_of(data)
    assert (record.content, record.remark, record.problem) == (content, remark, "")
    assert record.end == (1, len(data))


def test_lines_are_counted_with_those_that_hold_nothing() -> None:
    records = records_of(b'{"a":1}\n\n\xef\xbb\xbf{"b":2}\r\n{"c":3}')
    assert [(record.end, record.remark) for record in records] == [
        ((1, 8), ""),
        ((2, 9), BLANK),
        ((3, 21), BOM),
        ((4, 28), NO_NEWLINE),
    ]


def test_the_first_line_that_ends_with_cr_lf_is_reported() -> None:
    assert [record.remark for record in records_of(b"{}\n{}\r\n{}\r\n{}\r\n")] == ["", CRLF, "", ""]


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b""])
def test_the_longest_line_is_read_and_a_longer_one_is_not(ending: bytes) -> None:
    longest, longer = b"x" * MAX_LINE + ending, b"x" * (MAX_LINE + 1) + ending
    assert [record.problem for record in records_of(longest)] == [""]
    [record] = records_of(longer)
    assert (record.content, record.problem, record.end) == (None, TOO_LONG, (1, len(longer)))


@pytest.mark.parametrize("extra", [1, 2, 3, MIB - 1, MIB, MIB + 1, 3 * MIB])
def test_the_line_after_one_that_is_too_long_is_read(extra: int) -> None:
    long = b"x" * (MAX_LINE + extra) + b"\n"
    first, second = records_of(long + b"{}\n")
    assert (first.problem, first.end) == (TOO_LONG, (1, len(long)))
    assert (second.content, second.end) == (b"{}", (2, len(long) + 3))


def test_a_line_of_50_mb_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with path.open("wb") as file:
        file.write(b"{}\n")
        for _ in range(50):
            file.write(b"x" * MIB)
        file.write(b"\n{}\n")
    records = JsonLines.open(path)
    tracemalloc.start()
    try:
        found = records.read(10)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        records.close()
    assert [record.problem for record in found] == ["", TOO_LONG, ""]
    assert most < 4 * MIB


def test_a_stream_is_read_as_it_comes_and_is_never_the_same() -> None:
    reading, writing = os.pipe()
    records = JsonLines.of_stream(reading, "standard input")
    os.write(writing, b"{}\n")
    assert [record.end.number for record in records.read(1)] == [1]
    os.write(writing, b'{"a":1}\n')
    os.close(writing)
    assert [record.content for record in records.read(10)] == [b'{"a":1}']
    assert records.identity is None
    assert records.share() is None
    os.close(reading)


def test_a_reader_of_a_stream_that_waits_returns_when_it_is_closed() -> None:
    reading, writing = os.pipe()
    records = JsonLines.of_stream(reading, "standard input")
    found: list[Record] = []
    thread = threading.Thread(target=lambda: found.extend(records.read(10)))
    thread.start()
    records.close()
    thread.join(30)
    assert not thread.is_alive()
    assert found == []
    for descriptor in (reading, writing):
        os.close(descriptor)
