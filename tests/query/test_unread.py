"""Counts, counting again from the messages, and the list of channels, as callers of the query service get them."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

import pytest

from fanout.api.unread import Counts, ListRequest
from fanout.error_codes import BAD_CURSOR
from fanout.errors import CallRejected, Unavailable
from fanout.events import StoredMessage
from fanout.ids import new_message_id
from fanout.packed_ids import pack
from fanout.ports.memberships import Channel
from fanout.ports.unread import ReadPosition
from fanout.streams import MESSAGE_WRITER, MESSAGES, UNREAD_COUNTER
from fanout.subjects import message
from services.composition.reading import unread_queries
from services.query import unread as unread_module
from services.query.unread import UnreadQueries
from services.runtime.channel_messages import counted_message
from tests.support.faulty import (
    FaultyLog,
    FaultyMemberships,
    FaultyMessages,
    FaultyUnread,
    faulty_log,
    faulty_memberships,
    faulty_messages,
    faulty_unread,
)
from tests.support.stored import stored_message


def _execute(statement: str, connection: sqlite3.Connection) -> None:
    connection.execute(statement)


@dataclass
class World:
    log: FaultyLog
    memberships: FaultyMemberships
    messages: FaultyMessages
    counts: FaultyUnread

    def __post_init__(self) -> None:
        self.queries: UnreadQueries = unread_queries(self.log, self.memberships, self.messages, self.counts)

    async def create(self, channel: str, *members: str) -> None:
        document = Channel(channel, f"name of {channel}", private=False, created_by=members[0], created_at="t")
        await self.memberships.create(document, members)

    async def post(self, number: int, channel: str = "general", sender: str = "bob", *mentions: str) -> None:
        for _ in range(number):
            payload = stored_message(channel, sender_id=sender, mentions=list(mentions))
            await self.log.append(message(channel), payload, msg_id=new_message_id())

    async def count(self) -> None:
        """Have the counter count everything."""
        consumer = await self.log.consume(MESSAGES, UNREAD_COUNTER)
        place = await self.counts.place()
        events = await consumer.fetch()
        after = events[0].seq - 1 if place is None else place.seq
        await self.counts.count(list(map(counted_message, events)), after=after)
        await consumer.ack(events)
        await consumer.close()

    async def store(self) -> None:
        """Have the writer store everything."""
        consumer = await self.log.consume(MESSAGES, MESSAGE_WRITER)
        events = await consumer.fetch()
        found = [counted_message(event) for event in events]
        await self.messages.write(
            [
                StoredMessage(e.message_id, e.channel_id, e.sender_id, "x", "t", mentions=list(e.mentions), seq=e.seq)
                for e in found
            ]
        )
        await consumer.ack(events)
        await consumer.close()

    async def lose_counts(self) -> None:
        """As a Redis whose keys are damaged."""
        damage = ("UPDATE latest SET count = count - 3", "DELETE FROM mentions", "UPDATE pointers SET mentions = 0")
        for statement in damage:
            await self.counts._database.write(partial(_execute, statement))

    async def empty_counts(self) -> None:
        """As a Redis that has lost its keys."""
        for table in ("place", "latest", "pointers", "mentions"):
            await self.counts._database.write(partial(_execute, f"DELETE FROM {table}"))  # noqa: S608 - constants


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with (
        faulty_log() as log,
        faulty_memberships() as memberships,
        faulty_messages() as messages,
        faulty_unread() as counts,
    ):
        world = World(log, memberships, messages, counts)
        await world.create("general", "alice", "bob")
        yield world


async def test_counts_are_of_the_callers_channels_alone(world: World) -> None:
    await world.create("quiet", "alice")
    await world.create("theirs", "bob")
    await world.post(3, "general", "bob", "alice")
    await world.post(2, "theirs", "carl")
    await world.count()
    assert await world.queries.counts("alice") == Counts({"general": 3}, 3, 3)
    assert await world.queries.counts("bob") == Counts({"theirs": 2}, 2, 0)
    assert await world.queries.counts("carl") == Counts({}, 0, 0)


async def test_more_channels_than_one_step_reads_are_summed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread_module, "_AT_ONCE", 2)
    for number in range(5):
        await world.create(f"c{number}", "alice")
        await world.post(number, f"c{number}")
    await world.count()
    await world.store()
    expected = Counts({f"c{number}": number for number in range(1, 5)}, 10, 0)
    assert await world.queries.counts("alice") == expected
    assert await world.queries.recalculate("alice") == expected


async def test_lost_counts_are_found_again_from_the_messages(world: World) -> None:
    await world.post(4)
    await world.post(6, "general", "bob", "alice")
    await world.post(2, "general", "alice")
    await world.count()
    await world.store()
    await world.counts.mark_read("alice", "general", ReadPosition(3, 3, 0, "msg"))
    right = await world.queries.counts("alice")
    assert right == Counts({"general": 7}, 7, 6)
    await world.lose_counts()
    assert await world.queries.counts("alice") != right
    assert await world.queries.recalculate("alice") == right
    assert await world.queries.counts("alice") == right
    await world.post(1)
    await world.count()
    assert (await world.queries.counts("alice")).total == 8


async def test_a_store_that_was_emptied_is_filled_before_anything_more_is_counted(world: World) -> None:
    await world.post(4)
    await world.post(2, "general", "bob", "alice")
    await world.post(3, "general", "alice")
    await world.count()
    await world.store()
    await world.empty_counts()
    assert await world.queries.counts("alice") == Counts({}, 0, 0)
    right = Counts({"general": 6}, 6, 2)
    assert await world.queries.recalculate("alice") == right
    assert await world.queries.recalculate("alice") == right
    await world.post(1)
    await world.count()
    assert (await world.queries.counts("alice")).total == 7
    assert (await world.queries.recalculate("alice")).total == 7


async def test_while_the_message_store_is_away_nothing_is_recalculated(world: World) -> None:
    await world.post(30)
    await world.count()
    world.messages.down = True
    with pytest.raises(Unavailable):
        await world.queries.recalculate("alice")
    assert (await world.queries.counts("alice")).total == 30


async def test_while_the_writer_is_behind_the_result_is_never_less_than_the_truth(world: World) -> None:
    await world.post(10)
    await world.store()
    await world.post(20)
    await world.count()
    await world.lose_counts()
    assert (await world.queries.recalculate("alice")).total == 30
    await world.store()
    assert (await world.queries.recalculate("alice")).total == 30


async def test_a_counter_that_is_behind_is_no_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread_module, "_TRIES", 2)
    monkeypatch.setattr(unread_module, "_ASK_EVERY_S", 0)
    await world.post(3)
    await world.store()
    with pytest.raises(Unavailable):
        await world.queries.recalculate("alice")
    await world.count()
    assert (await world.queries.recalculate("alice")).total == 3


async def test_channels_are_listed_by_id_with_what_is_unread(world: World) -> None:
    await world.create("a", "alice")
    await world.post(2)
    await world.count()
    await world.counts.mark_read("alice", "general", ReadPosition(1, 1, 0, "msg_1"))
    (state,) = await world.counts.states("alice", ["general"])
    first, second = (await world.queries.list_channels("alice", ListRequest())).channels
    assert (first.channel_id, first.unread, first.last_read_id, first.latest_message_id) == ("a", 0, None, None)
    assert (second.channel_id, second.name, second.unread) == ("general", "name of general", 1)
    assert (second.last_read_id, second.latest_message_id) == ("msg_1", state.latest_id)


async def test_pages_of_channels_follow_each_other(world: World) -> None:
    for number in range(4):
        await world.create(f"c{number}", "alice")
    walked, cursor = [], None
    for _ in range(3):
        page = await world.queries.list_channels("alice", ListRequest(cursor, 2))
        walked += [channel.channel_id for channel in page.channels]
        cursor = page.cursor
    assert (walked, cursor) == (["c0", "c1", "c2", "c3", "general"], None)


async def test_a_cursor_of_another_user_is_refused(world: World) -> None:
    await world.create("a", "alice", "bob")
    cursor = (await world.queries.list_channels("alice", ListRequest(limit=1))).cursor
    assert cursor is not None
    for user, text in (("bob", cursor), ("alice", "x" + cursor[1:]), ("alice", cursor[:10])):
        with pytest.raises(CallRejected) as caught:
            await world.queries.list_channels(user, ListRequest(text))
        assert caught.value.error_code is BAD_CURSOR


async def test_a_user_of_very_many_channels_is_counted_in_bounded_steps_beside_a_recount(world: World) -> None:
    channels = [f"a-channel-of-a-usual-length-{number:04}" for number in range(5_000)]  # in several pieces
    world.memberships.outcomes["packed_channels_of"] = pack(channels)
    for channel in channels[::250]:
        await world.post(3, channel)
    await world.count()
    await world.store()
    recounted, *counted = await asyncio.gather(
        world.queries.recalculate("alice"), *(world.queries.counts("alice") for _ in range(3))
    )
    assert recounted == Counts(dict.fromkeys(channels[::250], 3), 60, 0)
    assert counted == [recounted] * 3
    assert world.counts.calls["unread"] == 4 * 10
    assert world.counts.calls["states"] == 10
