from typing import Any

import pytest

from tests.simulation.conversation_sentences import CONVERSATION_SENTENCES, FRAME_SENTENCES

POST: dict[str, Any] = {"user": "bob", "channel": "room", "message": "m2"}
REPLY = POST | {"to": "m1", "thread_id": "msg_1", "also": False, "astray": False}
MARK = {"device": "ann-phone", "user": "ann", "channel": "room", "message": "m1", "seq": 4, "elsewhere": False}
THREAD = {"user": "ann", "channel": "room", "thread": "m1"}


@pytest.mark.parametrize(
    ("kind", "about", "sentence"),
    [
        ("posts", POST, "bob posts m2 to room"),
        ("posts", POST | {"mentions": ["ann", "eve"]}, "bob posts m2 to room, and mentions ann, eve"),
        ("posts", REPLY, "bob replies m2 to m1 of room, in the thread alone"),
        ("posts", REPLY | {"also": True}, "bob replies m2 to m1 of room, in the thread and in the channel"),
        (
            "posts",
            REPLY | {"astray": True, "mentions": ["ann"]},
            "bob replies m2 to m1 of room, which has no such thread, in the thread alone, and mentions ann",
        ),
        ("marks read", MARK, "ann-phone says that ann has read room up to m1 (seq 4)"),
        (
            "marks read",
            MARK | {"elsewhere": True},
            "ann-phone says that ann has read room up to m1, which is of another channel",
        ),
        (
            "lists",
            {"user": "ann", "channels": [["room", 3, None, None], ["other", 0, None, None]]},
            "ann is told of these channels: room with 3 unread, other with 0 unread",
        ),
        ("lists", {"user": "ann", "channels": []}, "ann is told of these channels: none"),
        (
            "counts",
            {"user": "ann", "total": 3, "mentions": 1},
            "ann is told of 3 unread in all, and 1 mentions",
        ),
        (
            "thread",
            THREAD | {"replies": [[2, "m2"]], "counts": [2, 1], "upto": 5},
            "ann reads the thread of m1 in room: m2 (seq 2); complete up to seq 5, and said to have 1",
        ),
        ("refused thread", THREAD | {"status": 403}, "ann is refused the thread of m1 in room (status 403)"),
        ("last marks", {}, "devices say a last time what has been read"),
        ("last looks", {}, "users look at what they have not read, and at threads"),
    ],
)
def test_what_people_do_is_told(kind: str, about: dict[str, Any], sentence: str) -> None:
    assert CONVERSATION_SENTENCES[kind](about) == sentence


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        (
            {"type": "thread.reply", "channel_id": "room", "seq": 7, "message": {"client_msg_id": "m2"}},
            "ann-phone gets the reply m2 in a thread of room (seq 7)",
        ),
        (
            {"type": "error", "code": "not_a_member", "offending_type": "mark_read"},
            "ann-phone is refused mark_read: not_a_member",
        ),
        ({"type": "error", "code": "malformed"}, "ann-phone is refused a frame: malformed"),
    ],
)
def test_what_devices_get_is_told(frame: dict[str, Any], sentence: str) -> None:
    assert FRAME_SENTENCES[frame["type"]]({"device": "ann-phone", "frame": frame}) == sentence
