"""The counts at a position are the same from every side, and however far the counter and the writer have come."""

import pytest

from fanout.ids import new_message_id
from fanout.ports.unread import ReadPosition
from fanout.streams import MESSAGES
from fanout.subjects import message
from services.composition.reading import read_positions
from services.runtime import read_positions as read_positions_module
from services.runtime.channel_messages import counted_message
from tests.support.faulty import faulty_log, faulty_messages, faulty_unread
from tests.support.stored import stored_message

SENDERS = ["bob", "alice", "bob", "bob", "alice", "bob", "alice", "bob"]


@pytest.mark.parametrize("counted", [0, 1, 4, 8])
@pytest.mark.parametrize("pointer", [0, 2, 6])
@pytest.mark.parametrize("seq", range(9))
async def test_the_counts_at_a_position(counted: int, pointer: int, seq: int) -> None:
    def at(position: int) -> ReadPosition:
        return ReadPosition(position, position, SENDERS[:position].count("alice"))

    async with faulty_log() as log, faulty_messages() as messages, faulty_unread() as counts:
        ids = [new_message_id() for _ in SENDERS]
        for sender, message_id in zip(SENDERS, ids, strict=True):
            payload = stored_message("c", sender_id=sender, message_id=message_id)
            await log.append(message("c"), payload, msg_id=message_id)
        events = [counted_message(event) async for event in log.read(MESSAGES, after=0, upto=counted)]
        await counts.count(events, after=0)
        await counts.mark_read("alice", "c", at(pointer))
        (state,) = await counts.states("alice", ["c"])
        found = await read_positions(log, messages).at("alice", "c", seq, state)
        assert (found.seq, found.count, found.own) == (seq, at(seq).count, at(seq).own)
        if seq > counted:
            assert found.message_id == ids[seq - 1]


async def test_at_the_newest_counted_message_nothing_is_read() -> None:
    async with faulty_log() as log, faulty_messages() as messages, faulty_unread() as counts:
        await log.append(message("c"), stored_message("c"), msg_id="1")
        await log.append(message("other"), stored_message("other"), msg_id="2")
        events = [counted_message(event) async for event in log.read(MESSAGES, after=0, upto=2)]
        await counts.count(events, after=0)
        log.down = messages.down = True
        (state,) = await counts.states("alice", ["c"])
        for seq in (1, 2):
            assert (await read_positions(log, messages).at("alice", "c", seq, state)).count == 1


@pytest.mark.parametrize("longest", [100, 1])
async def test_the_mentions_of_a_range(monkeypatch: pytest.MonkeyPatch, longest: int) -> None:
    monkeypatch.setattr(read_positions_module, "MAX_TAIL", longest)
    async with faulty_log() as log, faulty_messages() as messages:
        for number, mentions in enumerate((["alice"], ["bob"], ["alice", "bob"], ["alice"])):
            payload = stored_message("c", mentions=mentions, message_id=new_message_id())
            await log.append(message("c"), payload, msg_id=str(number))
        positions = read_positions(log, messages)
        assert await positions.mentions("alice", "c", 0, 4) == [1, 3, 4]
        assert await positions.mentions("alice", "c", 1, 3) == [3]
        assert await positions.mentions("alice", "c", 4, 4) == []
        assert await positions.mentions("alice", "other", 0, 4) == []
