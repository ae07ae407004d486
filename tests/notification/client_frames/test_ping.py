"""`ping` is answered by `pong`."""

from tests.support.client_frames import Room


async def test_a_ping_is_answered_at_once(room: Room) -> None:
    alice = await room.enter("alice")
    await room.send(alice, '{"type":"ping"}')
    assert room.received(alice) == [{"type": "pong"}]
