"""`mark_read`: handed on to the command service; what it refuses is an `error`."""

import json

import pytest

from fanout.error_codes import UNKNOWN_MESSAGE
from fanout.errors import CallRejected, Unavailable
from services.notification.client_frames.handlers import BadFrame
from tests.support.client_frames import Room

MESSAGE = "msg_01ARZ3NDEKTSV4RRFFQ69G5FAV"


def mark(channel_id: str = "general", message_id: str = MESSAGE) -> str:
    return json.dumps({"type": "mark_read", "channel_id": channel_id, "message_id": message_id})


async def test_it_is_handed_on_and_not_answered(room: Room) -> None:
    alice = await room.enter("alice", "general")
    await room.send(alice, mark())
    assert room.commands.marked == [("alice", "general", MESSAGE)]
    assert not room.received(alice)


@pytest.mark.parametrize(
    ("failure", "code"),
    [(CallRejected(UNKNOWN_MESSAGE), "unknown_message"), (Unavailable("redis at 10.0.0.1"), "unavailable")],
)
async def test_what_fails_is_an_error_that_tells_nothing_of_the_servers(
    room: Room, failure: Exception, code: str
) -> None:
    alice = await room.enter("alice", "general")
    room.commands.failure = failure
    with pytest.raises(BadFrame) as caught:
        await room.send(alice, mark())
    assert (caught.value.code, caught.value.frame_type) == (code, "mark_read")
    assert "10.0.0.1" not in str(caught.value)


@pytest.mark.parametrize("wrong", [mark("a.b"), mark(message_id="msg_1"), mark(message_id="*")])
async def test_ids_that_could_reach_a_key_are_refused(room: Room, wrong: str) -> None:
    alice = await room.enter("alice", "general")
    with pytest.raises(BadFrame) as caught:
        await room.send(alice, wrong)
    assert caught.value.code == "invalid_id"
    assert not room.commands.marked
