"""`auth` is the first frame, and no other."""

import json

import pytest

from services.notification.client_frames.handlers import BadFrame
from tests.support.client_frames import Room


async def test_a_second_auth_is_an_error(room: Room) -> None:
    alice = await room.enter("alice")
    with pytest.raises(BadFrame) as caught:
        await room.send(alice, json.dumps({"type": "auth", "device_id": alice.device_id, "token": "t"}))
    assert (caught.value.code, caught.value.frame_type) == ("already_authenticated", "auth")
