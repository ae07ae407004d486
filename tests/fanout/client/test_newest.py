"""An event that comes twice is dropped once."""

import pytest

from fanout.client import (
    AuthOk,
    Catchup,
    ChatMessage,
    Event,
    MemberJoined,
    MemberLeft,
    MessageNew,
    MissedMessages,
    PresenceUpdate,
    ResumePoint,
    ThreadReply,
    Typing,
)
from fanout.client import newest as newest_module
from fanout.client.newest import Newest


def chat(seq: int | None = None) -> ChatMessage:
    return ChatMessage(message_id=f"m{seq}", channel_id="c", sender_id="s", text="t", sent_at="t", seq=seq)


def message(seq: int, channel: str = "c") -> MessageNew:
    return MessageNew(seq=seq, part=0, channel_id=channel, message=chat())


def news(newest: Newest, *events: Event) -> list[Event]:
    return [event for event in map(newest.news_of, events) if event is not None]


def test_within_a_channel_the_positions_rise() -> None:
    reply = ThreadReply(seq=9, part=0, channel_id="c", thread_id="m", message=chat())
    got = news(Newest(None), message(7), message(7), reply, message(8), message(5, "d"), message(10))
    assert got == [message(7), reply, message(5, "d"), message(10)]


def test_a_catch_up_brings_what_is_new_in_it() -> None:
    newest = Newest(None)
    news(newest, message(7))
    both = MissedMessages(channel_id="c", messages=[chat(7), chat(8)])
    known = MissedMessages(channel_id="d", messages=[chat(3)])
    (got,) = news(newest, Catchup(channels=[both, known], unread={"c": 1}))
    assert got == Catchup(channels=[MissedMessages(channel_id="c", messages=[chat(8)]), known], unread={"c": 1})
    (again,) = news(newest, Catchup(channels=[both, known]))
    assert again == Catchup(channels=[])
    assert news(newest, message(8)) == []


def test_a_channel_of_which_more_was_missed_is_told_also_without_messages() -> None:
    missed = MissedMessages(channel_id="c", more=True)
    assert news(Newest(None), Catchup(channels=[missed])) == [Catchup(channels=[missed])]


def test_what_came_before_a_restart_is_dropped() -> None:
    newest = Newest(ResumePoint(5, {}, "l", {"c": 8}))
    welcome = AuthOk(user_id="u", session_id="s", device_id="d", log="l")
    assert news(newest, welcome, message(8), message(9)) == [welcome, message(9)]


def test_positions_of_another_log_are_others() -> None:
    newest = Newest(None)
    first, second = (AuthOk(user_id="u", session_id="s", device_id="d", log=log) for log in ("a", "b"))
    assert news(newest, first, message(8), second, message(3)) == [first, message(8), second, message(3)]


def test_a_membership_goes_by_its_versions() -> None:
    joined, left = (kind(channel_id="c", user_id="u", version=v) for kind, v in ((MemberJoined, 1), (MemberLeft, 2)))
    assert news(Newest(None), joined, left, joined, left) == [joined, left]
    without = MemberJoined(channel_id="c", user_id="u")
    assert news(Newest(None), without, without) == [without, without]


def test_the_versions_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest_module, "VERSIONS_KEPT", 2)
    newest = Newest(None)
    changes = [MemberJoined(channel_id="c", user_id=user, version=1) for user in "abc"]
    assert news(newest, *changes) == changes
    assert news(newest, changes[2], changes[0]) == [changes[0]]


def test_presence_does_not_go_back_on_one_connection() -> None:
    newest = Newest(None)
    old, new = (PresenceUpdate(user="bob", status=status, version=v) for status, v in (("online", 4), ("idle", 5)))
    assert news(newest, new, old, new) == [new, new]
    welcome = AuthOk(user_id="u", session_id="s", device_id="d")
    assert news(newest, welcome, old) == [welcome, old]


def test_everything_else_passes() -> None:
    typing = Typing(channel_id="c", user_id="bob", typing=True)
    assert news(Newest(None), typing, typing) == [typing, typing]
