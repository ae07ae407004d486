"""What a client says about its absence, and which points a log takes."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from fanout.ports.log import Numbering
from services.notification.catch_up.absence import Absence, ResumePoint
from services.notification.client_frames.auth import Auth
from services.notification.client_frames.concerns import CLIENT_FRAMES
from services.notification.client_frames.handlers import BadFrame

NUMBERING = Numbering("this", 0)


def auth(**fields: Any) -> Auth:
    frame = {"type": "auth", "device_id": "dev_web_01JD5T6Q9FZ0Y4W3V2B1N0M8K7", **fields}
    decoded = CLIENT_FRAMES.decode(json.dumps(frame))
    assert isinstance(decoded, Auth)
    return decoded


def absence(**fields: Any) -> Absence:
    said = auth(**fields).absence()
    assert said is not None
    return said


def test_a_client_that_says_nothing_was_not_away() -> None:
    assert auth().absence() is None


def test_the_point_is_the_clients_own_or_the_single_seq_of_the_spec() -> None:
    resume = {"seq": 5, "parts": {"0": 7, "13": 9}, "log": "this"}
    assert absence(resume=resume).point == ResumePoint(5, {0: 7, 13: 9}, "this")
    assert absence(resume=resume, last_event_seq=3).point == ResumePoint(5, {0: 7, 13: 9}, "this")
    assert absence(last_event_seq=3) == Absence(ResumePoint(3), None)
    assert absence(resume={"seq": 2**60}).point == ResumePoint(2**60)


def test_when_it_was_seen_last_is_a_time_of_any_zone() -> None:
    at = datetime(2026, 2, 1, 10, 0, tzinfo=UTC)
    for text in ("2026-02-01T10:00:00.000Z", "2026-02-01T11:00:00+01:00"):
        assert absence(last_seen=text) == Absence(None, at)


@pytest.mark.parametrize(
    "fields",
    [
        {"resume": {"seq": -1}},
        {"resume": {"seq": "5"}},
        {"resume": {"seq": 2**64}},
        {"resume": {"seq": 5, "parts": {"0": -1}}},
        {"resume": {"seq": 5, "parts": {"0": "7"}}},
        {"resume": {"seq": 5, "parts": {"-1": 7}}},
        {"resume": {"seq": 5, "parts": {"first": 7}}},
        {"resume": {"seq": 5, "parts": [7]}},
        {"resume": {"seq": 5, "log": 7}},
        {"resume": {"parts": {}}},
        {"resume": 5},
        {"last_event_seq": -1},
        {"last_event_seq": "5"},
        {"last_seen": "yesterday"},
        {"last_seen": "2026-02-01T10:00:00"},
        {"last_seen": 1_700_000_000},
    ],
    ids=str,
)
def test_what_is_no_point_and_no_time_is_malformed(fields: dict[str, Any]) -> None:
    with pytest.raises(BadFrame):
        auth(**fields)


def test_a_partition_has_the_higher_of_its_own_seq_and_that_of_all() -> None:
    point = ResumePoint(5, {0: 7, 1: 3})
    assert [point.of(part) for part in range(3)] == [7, 5, 5]
    assert (point.lowest(1), point.lowest(3), ResumePoint(5, {0: 7, 1: 8}).lowest(2)) == (7, 5, 7)


@pytest.mark.parametrize(
    ("point", "is_in"),
    [
        (ResumePoint(10, {}, "this"), True),
        (ResumePoint(10), True),
        (ResumePoint(11, {}, "this"), False),
        (ResumePoint(1, {0: 11}), False),
        (ResumePoint(1, {1: 10}), True),
        (ResumePoint(1, {2: 1}), False),
        (ResumePoint(1, {}, "another"), False),
    ],
)
def test_a_point_of_a_log_is_not_beyond_its_end_nor_of_another_log_or_partition(
    point: ResumePoint, *, is_in: bool
) -> None:
    assert point.is_in(NUMBERING, partitions=2, end=10) == is_in


def test_a_point_that_names_no_log_is_not_taken_from_before_the_log_went_back() -> None:
    numbering = Numbering("this", 1_000)
    for point, is_in in (
        (ResumePoint(999), False),
        (ResumePoint(1_000), True),
        (ResumePoint(999, {}, "this"), True),
        (ResumePoint(999, {0: 2_000}), False),
    ):
        assert point.is_in(numbering, partitions=1, end=5_000) == is_in
