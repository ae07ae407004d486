"""`mark_read` and `message.read`: handed on to the command service; what it refuses is an `error`."""

import json

import pytest

from fanout.error_codes import UNKNOWN_MESSAGE
from fanout.errors import CallRejected, Unavailable
from services.notification.client_frames.handlers import BadFrame
from tests.support.client_frames import Room

MESSAGE = "msg_01ARZ3NDEKTSV4RRFFQ69G5FAV"


def mark(channel_id: str = "general", message_id: str = MESSAGE) -> str:
    return json.dumps({"type": "mark_read", "channel_id": channel_id, "message_id": message_id})


def read(channel_id: str = "general", message_id: str = MESSAGE) -> str:
    return mark(channel_id, message_id).replace("mark_read", "message.read")


async def test_each_is_handed_on_and_not_answered(room: Room) -> None:
    alice = await room.enter("alice", "general")
    await room.send(alice, mark())
    assert (room.commands.marked, room.commands.read) == ([("alice", "general", MESSAGE)], [])
    room.commands.marked.clear()
    await room.send(alice, read())
    assert (room.commands.marked, room.commands.read) == ([], [("alice", "general", MESSAGE)])
    assert not room.received(alice)


@pytest.mark.parametrize("frame", [mark(), read()])
@pytest.mark.parametrize(
    ("failure", "code"),
    [(CallRejected(UNKNOWN_MESSAGE), "unknown_message"), (Unavailable("redis at 10.0.0.1"), "unavailable")],
)
async def test_what_fails_is_an_error_that_tells_nothing_of_the_servers(
    room: Room, failure: Exception, code: str, frame: str
) -> None:
    alice = await room.enter("alice", "general")
    room.commands.failure = failure
    with pytest.raises(BadFrame) as caught:
        await room.send(alice, frame)
    assert (caught.value.code, caught.value.frame_type) == (code, json.loads(frame)["type"])
    assert "10.0.0.1" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong", [mark("a.b"), mark(message_id="msg_1"), mark(message_id="*"), read("a.b"), read(message_id="msg_1")]
)
async def test_ids_that_could_reach_a_key_are_refused(room: Room, wrong: str) -> None:
    alice = await room.enter("alice", "general")
    with pytest.raises(BadFrame) as caught:
        await room.send(alice, wrong)
    assert caught.value.code == "invalid_id"
    assert not room.commands.marked + room.commands.read
