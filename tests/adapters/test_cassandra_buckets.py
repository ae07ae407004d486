"""Buckets: which one a position has, how many a page reads, and what a writer remembers."""

import pytest

from services.adapters.cassandra.buckets import BUCKET_EVENTS, Bucket, KnownBuckets, bucket_of, covering


def test_a_bucket_rises_with_the_position_and_has_a_bound() -> None:
    edges = [0, 1, BUCKET_EVENTS - 1, BUCKET_EVENTS, 2 * BUCKET_EVENTS - 1, 2 * BUCKET_EVENTS, 1 << 53]
    assert [bucket_of(seq) for seq in edges] == [0, 0, 0, 1, 1, 2, (1 << 53) // BUCKET_EVENTS]
    assert bucket_of(-1) == 0


@pytest.mark.parametrize(
    ("hints", "cut", "read"),
    [
        ([256, 256, 256], 99, 1),
        ([256, 256, 256], 1, 2),  # reading begins inside the first
        ([1, 1, 1], 99, 3),
        ([16, 16, 16, 16, 1], 99, 4),
        ([1, 256, 1], 1, 2),
        ([], 1, 0),
    ],
)
def test_as_many_buckets_are_read_as_probably_fill_a_page(hints: list[int], cut: int, read: int) -> None:
    buckets = [Bucket(number, hint) for number, hint in enumerate(hints, 1)]
    assert covering(buckets, 51, cut) == read


def test_a_bucket_is_unknown_until_it_is_registered() -> None:
    known = KnownBuckets()
    assert known.unknown([("a", 1), ("b", 1), ("a", 1)]) == [("a", 1), ("b", 1)]
    known.registered([("a", 1)])
    assert known.unknown([("a", 1), ("b", 1)]) == [("b", 1)]


def test_a_writer_reports_the_counts_that_it_reaches() -> None:
    known = KnownBuckets()
    known.registered([("a", 1)])
    assert [known.written(("a", 1), 1) for _ in range(17)] == [*[None] * 15, 16, None]
    assert known.written(("a", 1), 300) == 256
    assert known.written(("a", 1), 300) is None
    assert known.written(("b", 1), 70) == 64


def test_what_was_written_longest_ago_is_forgotten() -> None:
    known = KnownBuckets(remembered=2)
    known.registered([("a", 1), ("b", 1)])
    known.written(("a", 1), 1)
    known.registered([("c", 1)])
    assert known.unknown([("a", 1), ("b", 1), ("c", 1)]) == [("b", 1)]
