"""The table of streams: its rows fit together."""

import pytest

from fanout import subjects
from fanout.lanes import MAX_CODE
from fanout.streams import INBOX_STREAMS, MEMBERSHIP_STREAM, ROUTED_STREAMS, STREAMS, FanOutMode, StreamSpec, stream_of

ROWS = list(STREAMS.values())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_has_a_lane_and_a_kind_just_where_instances_get_its_events(row: StreamSpec) -> None:
    assert (0 < row.lane_code <= MAX_CODE) == bool(row.kind) == row.in_inbox
    assert row.plain == (row.in_inbox and not row.changes_memberships)


def test_no_two_streams_share_a_lane_code_or_a_subject() -> None:
    codes = [row.lane_code for row in ROWS if row.lane_code]
    patterns = [pattern for row in ROWS for pattern in row.subjects]
    assert len(set(codes)) == len(codes)
    assert len(set(patterns)) == len(patterns)


@pytest.mark.parametrize("row", [row for row in ROWS if row.partitioned], ids=lambda row: row.name)
def test_a_partitioned_stream_has_one_pattern_that_ends_with_the_channel(row: StreamSpec) -> None:
    assert row.subjects == (f"{row.stem}*",)


def test_the_lists_of_names_follow_the_rows() -> None:
    assert (INBOX_STREAMS, ROUTED_STREAMS) == (("MESSAGES", "META", "RECEIPTS"), ("MESSAGES", "RECEIPTS"))
    assert [row.name for row in ROWS if row.has_waiting_readers] == ["MESSAGES", "META", "RECEIPTS"]


def test_one_stream_changes_memberships() -> None:
    assert [row.name for row in ROWS if row.fan_out is FanOutMode.APPLIED] == [MEMBERSHIP_STREAM] == ["META"]


def test_an_event_at_which_two_readers_fail_hours_apart_is_one_dead_letter() -> None:
    dead = STREAMS["DEAD"]
    assert dead.keep_s is not None
    assert 12 * 3_600 < dead.dedup_s < dead.keep_s


@pytest.mark.parametrize(
    ("subject", "stream"),
    [
        (subjects.message("general"), "MESSAGES"),
        (subjects.member_joined("general"), "META"),
        (subjects.member_left("general"), "META"),
        (subjects.dead("MESSAGES", "general"), "DEAD"),
    ],
)
def test_each_subject_of_the_log_belongs_to_one_stream(subject: str, stream: str) -> None:
    assert stream_of(subject) == stream


@pytest.mark.parametrize("subject", ["messages.send.", "messages.send.a.b", "client.typing.general", "dead"])
def test_a_subject_of_no_stream_is_refused(subject: str) -> None:
    with pytest.raises(ValueError, match="no stream takes the subject"):
        stream_of(subject)
