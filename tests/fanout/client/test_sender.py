"""A client tells the server what its user does, on one connection and on the next."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from fanout import InvalidId
from fanout.client import ClientSettings, DraftSaved, ErrorFrame, HeartbeatOk, Pong
from fanout.client.sender import MOST_WATCHED, Sender
from tests.support.model_server import DEVICE_ID

MESSAGE_ID = "msg_01JD5T6Q9FZ0Y4W3V2B1N0M8K7"


def made(*, is_open: bool = True) -> Sender:
    sender = Sender(DEVICE_ID, "idle", 0.0, ClientSettings(), lambda: 0.5)
    if is_open:
        sender.open(30.0, 0.0)
    return sender


def taken(sender: Sender) -> list[dict[str, Any]]:
    return [json.loads(frame) for frame in sender.take_frames()]


def types(sender: Sender) -> list[str]:
    return [frame["type"] for frame in taken(sender)]


def test_a_heartbeat_is_sent_each_interval() -> None:
    sender = made()
    assert sender.deadline == 30.0
    sender.handle_deadline(29.0)
    assert taken(sender) == []
    sender.handle_deadline(30.0)
    assert taken(sender) == [{"type": "heartbeat", "device_id": DEVICE_ID, "state": "idle"}]
    sender.hear(HeartbeatOk(seq=1), 30.1)
    assert sender.deadline == 60.0


def test_a_change_of_the_state_is_told_at_once_and_no_other_call() -> None:
    sender = made()
    sender.set_state("active", 5.0)
    assert [frame["state"] for frame in taken(sender)] == ["active"]
    sender.set_state("active", 6.0)
    assert taken(sender) == []
    sender.set_state("background", 7.0)
    assert [frame["state"] for frame in taken(sender)] == ["background"]
    sender.hear(HeartbeatOk(seq=1), 7.1)
    assert sender.deadline == 37.0


def test_a_user_who_does_nothing_is_idle_after_a_minute() -> None:
    sender = made()
    sender.set_state("active", 5.0)
    for at in (35.0, 65.0):
        sender.hear(HeartbeatOk(seq=1), at)
        sender.handle_deadline(at)
    assert [frame["state"] for frame in taken(sender)] == ["active", "active", "idle"]


def test_a_silent_server_is_gone() -> None:
    sender = made()
    sender.handle_deadline(30.0)
    sender.hear(Pong(), 35.0)
    assert not sender.server_is_gone(44.0)
    assert sender.server_is_gone(45.0)
    sender.hold()
    assert not sender.server_is_gone(45.0)
    sender.release(50.0)
    assert not sender.server_is_gone(59.0)


def test_an_open_channel_is_the_focused_one() -> None:
    sender = made()
    sender.open_channel("c")
    assert taken(sender) == [{"type": "channel.open", "channel_id": "c"}]
    sender.handle_deadline(30.0)
    assert taken(sender)[0]["focused_channel"] == "c"
    assert sender.auth_fields() == {"state": "idle", "focused_channel": "c"}
    sender.close_channel(31.0)
    (heartbeat,) = taken(sender)
    assert "focused_channel" not in heartbeat


def test_watched_users_are_told_on_each_connection() -> None:
    sender = made()
    sender.watch_presence(["bob", "carol", "bob"])
    watch = {"type": "presence.watch", "user_ids": ["bob", "carol"]}
    assert taken(sender) == [watch]
    sender.close()
    sender.open(30.0, 100.0)
    assert taken(sender) == [watch]


def test_too_many_watched_users_are_refused() -> None:
    sender = made()
    sender.watch_presence(f"u{n}" for n in range(MOST_WATCHED))
    with pytest.raises(ValueError, match="at most 500"):
        sender.watch_presence(f"u{n}" for n in range(MOST_WATCHED + 1))


def test_reads_wait_for_the_connection_and_arrive_over_two() -> None:
    sender = made(is_open=False)
    sender.mark_read("c", MESSAGE_ID)
    sender.message_read("c", MESSAGE_ID)
    assert taken(sender) == []
    for _ in range(2):
        sender.open(30.0, 0.0)
        assert types(sender) == ["mark_read", "message.read"]
        sender.close()
    sender.open(30.0, 0.0)
    sender.handle_deadline(30.0)
    sender.hear(HeartbeatOk(seq=1), 30.1)
    sender.close()
    taken(sender)
    sender.open(30.0, 100.0)
    assert taken(sender) == []


def test_what_a_store_could_not_take_is_sent_again_soon() -> None:
    sender = made()
    sender.mark_read("c", MESSAGE_ID)
    sender.save_draft("c", {"text": "a"})
    assert types(sender) == ["mark_read", "draft.save"]
    for frame_type in ("mark_read", "draft.save"):
        sender.hear(ErrorFrame(code="unavailable", offending_type=frame_type), 1.0)
    assert sender.deadline == 3.0
    sender.handle_deadline(3.0)
    assert types(sender) == ["draft.save", "heartbeat"]
    sender.hear(HeartbeatOk(seq=1), 3.1)
    assert types(sender) == ["mark_read"]
    assert sender.deadline == 33.0


def test_an_error_that_a_repeat_does_not_change_is_left() -> None:
    sender = made()
    sender.mark_read("c", MESSAGE_ID)
    sender.take_frames()
    sender.hear(ErrorFrame(code="not_a_member", offending_type="mark_read"), 1.0)
    assert sender.deadline == 30.0


def test_drafts_are_sent_one_after_the_other() -> None:
    sender = made()
    for text in ("a", "ab", "abc"):
        sender.save_draft("c", {"text": text})
    assert [frame["text"] for frame in taken(sender)] == ["a"]
    assert sender.hear(DraftSaved(channel_id="c", updated_at="t1"), 1.0)
    assert [(frame["text"], frame["base_updated_at"]) for frame in taken(sender)] == [("abc", "t1")]
    sender.close()
    sender.open(30.0, 2.0)
    assert [frame["text"] for frame in taken(sender)] == ["abc"]


def test_typing_is_told_while_there_is_a_connection() -> None:
    sender = made()
    sender.type("c", 0.0)
    sender.type("c", 1.0)
    sender.handle_deadline(3.0)
    sender.stop_typing("c")
    assert types(sender) == ["typing.start", "typing.start", "typing.stop"]
    sender.type("c", 4.0)
    sender.close()
    sender.type("c", 5.0)
    sender.stop_typing("c")
    sender.ping()
    sender.set_state("active", 5.0)
    sender.close_channel(5.0)
    sender.handle_deadline(100.0)
    sender.hear(Pong(), 100.0)
    sender.hold()
    sender.release(100.0)
    assert taken(sender) == []


def test_a_ping() -> None:
    sender = made()
    sender.ping()
    assert types(sender) == ["ping"]


def test_what_is_no_id_is_refused() -> None:
    sender = made()
    calls: tuple[Callable[[], None], ...] = (
        lambda: sender.mark_read("c.d", MESSAGE_ID),
        lambda: sender.mark_read("c", "m"),
        lambda: sender.message_read("", MESSAGE_ID),
        lambda: sender.type("c d", 0.0),
        lambda: sender.open_channel("*"),
        lambda: sender.watch_presence(["bob", ">"]),
    )
    for call in calls:
        with pytest.raises(InvalidId):
            call()
    assert taken(sender) == []
