"""`heartbeat`: what it records, renews and answers."""

import json
from typing import Any

import pytest

from fanout.ids import new_device_id
from services.notification.client_frames.handlers import BadFrame
from tests.support.client_frames import DELIVERED, Room


def heartbeat(**fields: Any) -> str:
    return json.dumps({"type": "heartbeat", **fields})


async def test_a_heartbeat_is_recorded_renewed_and_answered(room: Room) -> None:
    alice = await room.enter("alice")
    await room.send(alice, heartbeat(device_id=alice.device_id, state="active", focused_channel="general"))
    assert (alice.client_state, alice.focused_channel) == ("active", "general")
    assert room.renewed == [(alice, True)]
    assert room.received(alice) == [{"type": "heartbeat.ok", "seq": DELIVERED}]


async def test_a_heartbeat_without_a_state_changes_none_and_one_without_a_focus_means_none(room: Room) -> None:
    alice = await room.enter("alice")
    await room.send(alice, heartbeat(state="active", focused_channel="general"))
    await room.send(alice, heartbeat(focused_channel="general"))
    assert (alice.client_state, alice.focused_channel) == ("active", "general")
    await room.send(alice, heartbeat())
    assert (alice.client_state, alice.focused_channel) == ("active", None)
    at_once = [at_once for _, at_once in room.renewed]
    assert at_once == [True, False, True], "only what is new is written at once"


async def test_a_heartbeat_of_another_device_is_an_error(room: Room) -> None:
    alice = await room.enter("alice")
    with pytest.raises(BadFrame) as caught:
        await room.send(alice, heartbeat(device_id=new_device_id()))
    assert (caught.value.code, caught.value.frame_type) == ("wrong_device", "heartbeat")
    assert not room.renewed


async def test_a_heartbeat_after_the_token_expired_ends_the_session(room: Room) -> None:
    alice = await room.enter("alice", expires_at=1.0)
    await room.send(alice, heartbeat())
    assert alice.ending is not None
    assert alice.ending.code == 4401
    assert not room.renewed
    assert not room.received(alice)
