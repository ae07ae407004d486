"""Ranges of a channel, from the message store and from the log above it, each message once."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from fanout.errors import Unavailable
from fanout.events import StoredMessage
from fanout.ids import new_message_id
from fanout.streams import MESSAGE_WRITER, MESSAGES
from fanout.subjects import message
from services.runtime import channel_messages
from services.runtime.accepted_messages import AcceptedMessages
from services.runtime.channel_messages import ChannelMessages, counted_message
from services.runtime.positions import Positions
from tests.support.faulty import FaultyLog, FaultyMessages, faulty_log, faulty_messages
from tests.support.stored import stored_message


@dataclass
class World:
    log: FaultyLog
    messages: FaultyMessages

    def __post_init__(self) -> None:
        self.read = ChannelMessages(
            self.messages, self.log, Positions(self.log, AcceptedMessages(self.messages, self.log))
        )

    async def post(self, number: int, channel: str = "c", **changes: object) -> None:
        for _ in range(number):
            payload = stored_message(channel, **changes)
            await self.log.append(message(channel), payload, msg_id=new_message_id())

    async def store(self, number: int) -> None:
        """Have the writer store so many of the events."""
        consumer = await self.log.consume(MESSAGES, MESSAGE_WRITER, batch=number)
        events = await consumer.fetch()
        found = [counted_message(event) for event in events]
        await self.messages.write(
            [StoredMessage(each.message_id, each.channel_id, each.sender_id, "x", "t", seq=each.seq) for each in found]
        )
        await consumer.ack(events)
        await consumer.close()

    async def seqs(self, after: int, upto: int, channel: str = "c") -> list[int]:
        return [each.seq async for each in self.read.between(channel, after, upto)]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with faulty_log() as log, faulty_messages() as messages:
        yield World(log, messages)


@pytest.mark.parametrize("stored", [0, 3, 8])
async def test_a_range_is_whole_however_far_the_writer_has_come(
    world: World, stored: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_messages, "_PAGE", 2)
    await world.post(8)
    if stored:
        await world.store(stored)
    assert await world.seqs(0, 8) == list(range(1, 9))
    assert await world.seqs(2, 6) == [3, 4, 5, 6]
    assert await world.seqs(5, 5) == await world.seqs(6, 2) == []


async def test_other_channels_are_left_out(world: World) -> None:
    await world.post(2)
    await world.post(2, "other")
    await world.post(1)
    await world.store(3)
    assert await world.seqs(0, 5) == [1, 2, 5]


async def test_a_writer_that_is_far_behind_is_no_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_messages, "MAX_TAIL", 3)
    await world.post(4)
    with pytest.raises(Unavailable):
        await world.seqs(0, 4)
    assert await world.seqs(1, 4) == [2, 3, 4]


async def test_a_store_that_is_away_is_no_answer(world: World) -> None:
    await world.post(2)
    await world.store(2)
    world.messages.down = True
    with pytest.raises(Unavailable):
        await world.seqs(0, 2)


async def test_an_event_that_cannot_be_read_is_passed_over(world: World) -> None:
    await world.log.append(message("c"), b"not json", msg_id="x")
    await world.post(1)
    assert await world.seqs(0, 2) == [2]


async def test_mentions_are_of_others_and_each_once(world: World) -> None:
    await world.post(1, sender_id="ann", mentions=["bob", "ann", "bob", "cat"])
    (found,) = [each async for each in world.read.between("c", 0, 1)]
    assert found.mentions == ("bob", "cat")
    assert found.in_channel
