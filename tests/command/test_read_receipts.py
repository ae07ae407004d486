"""`message.read`: a receipt in a small channel, the read pointer in a large one."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from fanout.error_codes import NOT_A_MEMBER, UNKNOWN_MESSAGE
from fanout.errors import CallRejected, Unavailable
from fanout.events import ReceiptRead, decode_receipt_event
from fanout.ids import new_message_id
from fanout.ports.memberships import Channel
from fanout.ports.messages import IndexEntry
from fanout.ports.receipts import MAX_MEMBERS
from fanout.ports.unread import UnreadCounts
from fanout.streams import RECEIPTS
from fanout.subjects import channel_of, message
from services.command.read_receipts import ReadReceipts
from services.composition.reading import client_commands
from services.runtime.active_channels import ActiveChannels
from services.runtime.membership_cache import MembershipCache
from services.runtime.positions import Positions
from tests.support.faulty import (
    FaultyBus,
    FaultyLog,
    FaultyMemberships,
    FaultyMessages,
    faulty_log,
    faulty_memberships,
    faulty_messages,
    faulty_unread,
)
from tests.support.stored import in_history, stored_message

NOW = datetime(2026, 2, 1, 10, tzinfo=UTC)


@dataclass
class World:
    log: FaultyLog
    memberships: FaultyMemberships
    messages: FaultyMessages
    counts: UnreadCounts

    def __post_init__(self) -> None:
        self.handlers = client_commands(
            self.log,
            FaultyBus(),
            self.memberships,
            MembershipCache(self.memberships),
            self.messages,
            self.counts,
            cast("Any", None),
            ActiveChannels(cast("Any", None)),
        )
        self.receipts: ReadReceipts = self.handlers._receipts
        self.receipts._now = lambda: NOW

    async def post(self, channel: str, sender: str) -> str:
        message_id = new_message_id()
        payload = stored_message(channel, message_id=message_id, sender_id=sender)
        await self.log.append(message(channel), payload, msg_id=message_id)
        return message_id

    async def fill(self, channel: str, members: int) -> None:
        document = Channel(channel, channel, private=False, created_by="alice", created_at="t")
        await self.memberships.create(document, ["alice", "bob", *(f"user-{n}" for n in range(members - 2))])

    async def events(self) -> list[ReceiptRead]:
        return [
            decode_receipt_event(event.payload, channel_of(event.subject)) for event in await self.log.stored(RECEIPTS)
        ]

    async def pointer(self, user: str, channel: str) -> str:
        (state,) = await self.counts.states(user, [channel])
        return state.pointer.message_id


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with (
        faulty_log() as log,
        faulty_memberships() as memberships,
        faulty_messages() as messages,
        faulty_unread() as counts,
    ):
        yield World(log, memberships, messages, counts)


async def test_in_a_small_channel_it_is_an_event_of_the_log_and_no_pointer_moves(world: World) -> None:
    await world.fill("general", MAX_MEMBERS)
    read = await world.post("general", "alice")
    await world.receipts.message_read("bob", "general", read)
    (event,) = await world.events()
    assert (event.channel_id, event.message_id, event.read_by) == ("general", read, ["bob"])
    assert event.read_at == "2026-02-01T10:00:00.000Z"
    assert not await world.pointer("bob", "general")


async def test_in_a_large_channel_the_pointer_moves_and_the_log_has_nothing(world: World) -> None:
    await world.fill("general", MAX_MEMBERS + 1)
    read = await world.post("general", "alice")
    await world.receipts.message_read("bob", "general", read)
    assert not await world.events()
    assert await world.pointer("bob", "general") == read


async def test_the_next_member_makes_a_channel_large_at_once(world: World) -> None:
    await world.fill("general", MAX_MEMBERS)
    first, second = await world.post("general", "alice"), await world.post("general", "alice")
    await world.receipts.message_read("bob", "general", first)
    await world.memberships.add("general", ["one-more"], "t")
    await world.receipts.message_read("bob", "general", second)
    assert [event.message_id for event in await world.events()] == [first]
    assert await world.pointer("bob", "general") == second


async def test_a_repeat_is_one_event_and_each_reader_has_one(world: World) -> None:
    await world.fill("general", 3)
    read = await world.post("general", "alice")
    await asyncio.gather(*(world.receipts.message_read("bob", "general", read) for _ in range(5)))
    await world.receipts.message_read("user-0", "general", read)
    assert sorted(event.read_by for event in await world.events()) == [["bob"], ["user-0"]]


async def test_of_ones_own_message_there_is_none(world: World) -> None:
    await world.fill("general", 2)
    await world.receipts.message_read("alice", "general", await world.post("general", "alice"))
    stored = in_history(1)  # sent by alice
    await world.messages.write([stored])
    await world.receipts.message_read("alice", "general", stored.message_id)
    assert not await world.events()


@pytest.mark.parametrize("members", [2, MAX_MEMBERS + 1])
async def test_only_members_read_and_only_messages_of_the_channel(world: World, members: int) -> None:
    await world.fill("general", members)
    await world.fill("other", 2)
    read, elsewhere = await world.post("general", "alice"), await world.post("other", "alice")
    wrong = [
        ("mallory", read, NOT_A_MEMBER),
        ("bob", elsewhere, UNKNOWN_MESSAGE),
        ("bob", new_message_id(), UNKNOWN_MESSAGE),
    ]
    for user, message_id, code in wrong:
        with pytest.raises(CallRejected) as caught:
            await world.receipts.message_read(user, "general", message_id)
        assert caught.value.error_code is code
    assert not await world.events()
    assert not await world.pointer("bob", "general")


@pytest.mark.parametrize("members", [2, MAX_MEMBERS + 1])
async def test_who_leaves_while_the_message_is_looked_for_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, members: int
) -> None:
    await world.fill("general", members)
    read = await world.post("general", "alice")
    find = Positions.find

    async def find_late(positions: Positions, channel_id: str, message_id: str) -> IndexEntry:
        found = await find(positions, channel_id, message_id)
        await world.memberships.remove("general", "bob", "t")
        return found

    monkeypatch.setattr(Positions, "find", find_late)
    with pytest.raises(CallRejected) as caught:
        await world.receipts.message_read("bob", "general", read)
    assert caught.value.error_code is NOT_A_MEMBER
    assert not await world.events()
    assert not await world.pointer("bob", "general")


async def test_of_a_channel_that_does_not_exist_nobody_is_a_member(world: World) -> None:
    with pytest.raises(CallRejected) as caught:
        await world.receipts.message_read("bob", "nowhere", new_message_id())
    assert caught.value.error_code is NOT_A_MEMBER


async def test_a_log_that_is_away_is_said(world: World) -> None:
    await world.fill("general", 2)
    read = in_history(1)
    await world.messages.write([read])
    world.log.down = True
    with pytest.raises(Unavailable):
        await world.receipts.message_read("bob", "general", read.message_id)
