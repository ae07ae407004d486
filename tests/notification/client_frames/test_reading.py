"""`mark_read` and `message.read`: handed on to the command service; what it refuses is an `error`."""

import asyncio
import json

import pytest

from fanout import machine
from fanout.error_codes import UNKNOWN_MESSAGE
from fanout.errors import CallRejected, Unavailable
from services.notification import session as session_module
from services.notification.client_frames import commanding
from services.notification.client_frames.handlers import BadFrame
from services.runtime.rates import Rate
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
    assert room.commands.devices == [alice.device_id]
    room.commands.marked.clear()
    await room.send(alice, read())
    assert (room.commands.marked, room.commands.read) == ([], [("alice", "general", MESSAGE)])
    assert not room.received(alice)


async def test_a_command_that_gives_no_answer_is_an_error_in_time(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_about: str) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(commanding, "ANSWERED_WITHIN_S", 0.01)
    monkeypatch.setattr(room.commands, "message_read", hang)
    alice = await room.enter("alice", "general")
    with pytest.raises(BadFrame) as caught:
        await room.send(alice, read())
    assert caught.value.code == "unavailable"


async def test_receipts_above_the_rate_are_handled_later(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "RECEIPTS", Rate(per_s=50.0, at_once=2))
    alice = await room.enter("alice", "general")
    began = machine.monotonic_s()
    for _ in range(4):
        await room.send(alice, read())
    assert len(room.commands.read) == 4
    assert machine.monotonic_s() - began >= 2 / 50


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
