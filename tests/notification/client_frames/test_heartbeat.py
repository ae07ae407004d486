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
    await room.send(alice, heartbeat(device_id=alice.device_id, state="idle", focused_channel="general"))
    assert (alice.client_state, alice.focused_channel) == ("idle", "general")
    assert room.renewed == [alice]
    assert room.received(alice) == [{"type": "heartbeat.ok", "seq": DELIVERED}]


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
