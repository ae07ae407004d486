"""`typing.start` and `typing.stop`: passed on to the other members, here and by the bus."""

import asyncio
import json

import pytest

from fanout.events import Typing, decode_typing
from services.notification.client_frames.handlers import BadFrame
from services.notification.session import TYPING
from tests.support.client_frames import Room


def typing(channel_id: str = "general", kind: str = "start") -> str:
    return json.dumps({"type": f"typing.{kind}", "channel_id": channel_id})


@pytest.mark.parametrize(("kind", "types"), [("start", True), ("stop", False)])
async def test_typing_reaches_the_others_here_and_the_bus(room: Room, kind: str, *, types: bool) -> None:
    notices: asyncio.Queue[tuple[str, Typing]] = asyncio.Queue()
    await room.bus.subscribe("client.typing.*", lambda at, notice: notices.put_nowait((at, decode_typing(notice))))
    alice, bob = await room.enter("alice", "general"), await room.enter("bob", "general")
    await room.send(alice, typing(kind=kind))
    assert room.received(bob) == [{"type": "typing", "channel_id": "general", "user_id": "alice", "typing": types}]
    assert not room.received(alice)
    assert await notices.get() == ("client.typing.general", Typing("alice", "notif-1", types))


async def test_only_members_type_in_a_channel(room: Room) -> None:
    alice = await room.enter("alice", "general")
    with pytest.raises(BadFrame) as caught:
        await room.send(alice, typing("other", "stop"))
    assert (caught.value.code, caught.value.frame_type) == ("not_a_member", "typing.stop")


async def test_while_the_bus_is_away_the_readers_here_still_get_it(room: Room) -> None:
    alice, bob = await room.enter("alice", "general"), await room.enter("bob", "general")
    await room.bus.close()
    await room.send(alice, typing())
    assert len(room.received(bob)) == 1


async def test_typing_above_its_rate_is_dropped(room: Room) -> None:
    alice, bob = await room.enter("alice", "general"), await room.enter("bob", "general")
    for _ in range(3 * TYPING.at_once):
        await room.send(alice, typing())
    assert TYPING.at_once <= len(room.received(bob)) < 3 * TYPING.at_once
