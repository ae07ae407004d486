"""The resume point follows the events as the contract's section 3 has it."""

from fanout.client import (
    AuthOk,
    Catchup,
    CatchupComplete,
    ChatMessage,
    FullRefreshRequired,
    HeartbeatOk,
    MessageNew,
    MissedMessages,
    ResumeDropped,
    ResumePoint,
    UnreadCounts,
)
from fanout.client.position import Position


def chat(seq: int | None = None) -> ChatMessage:
    return ChatMessage(message_id="m", channel_id="c", sender_id="s", text="t", sent_at="t", seq=seq)


def message(seq: int, part: int = 0) -> MessageNew:
    return MessageNew(seq=seq, part=part, channel_id="c", message=chat())


def welcome(seq: int, parts: dict[int, int] | None = None, log: str = "l") -> AuthOk:
    return AuthOk(user_id="u", session_id="s", device_id="d", seq=seq, parts=parts or {}, log=log)


def test_there_is_none_before_the_first_connection() -> None:
    assert Position().point is None


def test_a_client_that_was_cut_off_before_any_event_has_the_point_of_its_connection() -> None:
    position = Position()
    position.see(welcome(5, {3: 7, 1: 4}))
    assert position.point == ResumePoint(5, {3: 7}, "l")
    assert not position.is_catching_up


def test_events_raise_their_partition_and_heartbeats_everything() -> None:
    position = Position()
    position.see(welcome(5))
    position.see(message(9, part=3))
    position.see(message(7, part=1))
    assert position.point == ResumePoint(5, {3: 9, 1: 7}, "l")
    position.see(HeartbeatOk(seq=8))
    assert position.point == ResumePoint(8, {3: 9}, "l")
    position.see(HeartbeatOk(seq=2))
    position.see(message(6, part=3))
    assert position.point == ResumePoint(8, {3: 9}, "l")


def test_the_point_of_a_connection_that_resumes_counts_when_the_catch_up_is_complete() -> None:
    position = Position(ResumePoint(5, {3: 9}, "l"))
    position.see(welcome(20, {1: 25}))
    assert position.is_catching_up
    assert position.point == ResumePoint(5, {3: 9}, "l")
    position.see(message(12, part=1))
    assert position.point == ResumePoint(5, {3: 9, 1: 12}, "l")
    position.see(CatchupComplete(last_event_seq=21))
    assert not position.is_catching_up
    assert position.point == ResumePoint(21, {1: 25}, "l")


def test_a_later_tier_moves_the_point_at_its_end_only() -> None:
    position = Position(ResumePoint(5))
    position.see(welcome(20))
    position.see(Catchup(channels=[MissedMessages(channel_id="c", messages=[chat(8), chat(9)])]))
    position.see(message(12))
    position.see(UnreadCounts(channels={"b": 2}))
    point = position.point
    assert point is not None
    assert (point.seq, point.parts, point.ahead) == (5, {}, {"c": 12})
    position.see(welcome(21))  # it was cut off
    assert position.point == point
    position.see(CatchupComplete(tier=2, last_event_seq=22))
    position.see(message(23))
    assert position.point == ResumePoint(22, {0: 23}, "l")


def test_a_point_from_the_future_or_of_another_log_is_replaced() -> None:
    position = Position(ResumePoint(9_000, {2: 9_500}, "old"))
    position.see(welcome(0, log="new"))
    position.see(FullRefreshRequired())
    position.see(CatchupComplete(tier=4, last_event_seq=30))
    assert position.point == ResumePoint(30, {}, "new")


def test_a_refresh_of_a_live_connection_leaves_the_order_as_it_is() -> None:
    position = Position()
    position.see(welcome(5))
    position.see(FullRefreshRequired(reason="log_reset"))
    position.see(message(9, part=3))
    assert position.point == ResumePoint(5, {3: 9}, "l")


def test_a_point_that_is_dropped_is_that_of_the_next_connection() -> None:
    position = Position(ResumePoint(5, {3: 9}, "l"))
    position.see(ResumeDropped(point=ResumePoint(5), attempts=3))
    assert position.point is None
    position.see(welcome(20))
    assert position.point == ResumePoint(20, {}, "l")


def test_a_server_that_cannot_resume_gives_no_point() -> None:
    position = Position()
    position.see(AuthOk(user_id="u", session_id="s", device_id="d"))
    assert position.point is None
