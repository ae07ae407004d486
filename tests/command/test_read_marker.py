"""`mark_read`: pointers rise to messages of the channel, and to nothing else."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from fanout.error_codes import NOT_A_MEMBER, UNKNOWN_MESSAGE
from fanout.errors import CallRejected, Unavailable
from fanout.ids import new_message_id
from fanout.ports import unread as port
from fanout.ports.memberships import Channel
from fanout.ports.unread import ReadPosition, Unread
from fanout.streams import MESSAGES
from fanout.subjects import message
from services.adapters.sqlite import unread as sqlite_unread
from services.command.read_marker import ReadMarker
from services.composition.reading import client_commands
from services.runtime.active_channels import ActiveChannels
from services.runtime.channel_messages import counted_message
from services.runtime.membership_cache import MembershipCache
from tests.support.faulty import (
    FaultyBus,
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


@dataclass
class World:
    log: FaultyLog
    memberships: FaultyMemberships
    messages: FaultyMessages
    counts: FaultyUnread

    def __post_init__(self) -> None:
        handlers = client_commands(
            self.log,
            FaultyBus(),
            self.memberships,
            MembershipCache(self.memberships),
            self.messages,
            self.counts,
            self.counts,
            ActiveChannels(self.counts),
        )
        self.marker: ReadMarker = handlers._marker

    async def post(self, channel: str = "general", *mentions: str) -> str:
        message_id = new_message_id()
        payload = stored_message(channel, message_id=message_id, mentions=list(mentions))
        await self.log.append(message(channel), payload, msg_id=message_id)
        return message_id

    async def count(self) -> None:
        place = await self.counts.place()
        after = 0 if place is None else place.seq
        events = [counted_message(event) async for event in self.log.read(MESSAGES, after=after, upto=1 << 40)]
        await self.counts.count(events, after=after)

    async def unread(self) -> Unread:
        return (await self.counts.unread("alice", ["general"])).get("general", Unread(0, 0))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with (
        faulty_log() as log,
        faulty_memberships() as memberships,
        faulty_messages() as messages,
        faulty_unread() as counts,
    ):
        for channel in ("general", "other"):
            document = Channel(channel, channel, private=False, created_by="alice", created_at="t")
            await memberships.create(document, ["alice"])
        yield World(log, memberships, messages, counts)


async def test_a_part_of_a_backlog_is_marked_and_the_rest_stays_unread(world: World) -> None:
    ids = [await world.post("general", *(["alice"] if number in {3, 9} else [])) for number in range(1, 11)]
    await world.count()
    assert await world.unread() == Unread(10, 2)
    pointer = await world.marker.mark_read("alice", "general", ids[3])
    assert pointer is not None
    assert (pointer.message_id, pointer.seq) == (ids[3], 4)
    assert pointer.read_at
    assert await world.unread() == Unread(6, 1)


async def test_below_the_pointer_nothing_changes_and_nothing_is_wrong(world: World) -> None:
    ids = [await world.post() for _ in range(3)]
    await world.count()
    await world.marker.mark_read("alice", "general", ids[1])
    assert await world.marker.mark_read("alice", "general", ids[0]) is None
    assert await world.marker.mark_read("alice", "general", ids[1]) is None
    assert await world.unread() == Unread(1, 0)


async def test_a_message_that_is_not_counted_yet_can_be_marked(world: World) -> None:
    await world.post()
    await world.count()
    newer = await world.post("general", "alice")
    await world.post()
    await world.marker.mark_read("alice", "general", newer)
    assert await world.unread() == Unread(0, 0)
    await world.count()
    assert await world.unread() == Unread(1, 0)


async def test_what_is_no_message_of_the_channel_is_refused_and_changes_nothing(world: World) -> None:
    await world.post()
    elsewhere = await world.post("other")
    await world.count()
    for wrong in (elsewhere, new_message_id(), "msg_7ZZZZZZZZZZZZZZZZZZZZZZZZZ"):
        with pytest.raises(CallRejected) as caught:
            await world.marker.mark_read("alice", "general", wrong)
        assert caught.value.error_code is UNKNOWN_MESSAGE
    assert world.counts.calls["mark_read"] == 0
    assert await world.unread() == Unread(1, 0)


async def test_only_members_mark(world: World) -> None:
    message_id = await world.post()
    with pytest.raises(CallRejected) as caught:
        await world.marker.mark_read("bob", "general", message_id)
    assert caught.value.error_code is NOT_A_MEMBER


async def test_who_has_joined_again_is_told_when_the_counter_does_not_know_it_yet(world: World) -> None:
    ids = [await world.post() for _ in range(2)]
    await world.count()
    await world.counts.left("alice", "general", 1)
    with pytest.raises(Unavailable):
        await world.marker.mark_read("alice", "general", ids[0])
    await world.counts.joined("alice", "general", 2, ReadPosition())
    assert await world.marker.mark_read("alice", "general", ids[0])
    assert await world.marker.mark_read("alice", "general", ids[0]) is None


async def test_the_newest_message_is_marked_without_the_message_store_and_the_log(world: World) -> None:
    newest = await world.post()
    await world.count()
    world.log.down = world.messages.down = True
    assert await world.marker.mark_read("alice", "general", newest) is not None
    with pytest.raises(Unavailable):
        await world.marker.mark_read("alice", "general", new_message_id())


async def test_mentions_beyond_the_bound_are_found_among_the_messages(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = sqlite_unread._FORGET_OLD_MENTIONS.replace(f"OFFSET {port.MENTIONS_KEPT}", "OFFSET 3")
    monkeypatch.setattr(sqlite_unread, "_FORGET_OLD_MENTIONS", query)
    ids = [await world.post("general", *(["alice"] if number % 2 else [])) for number in range(1, 17)]
    await world.count()
    assert await world.unread() == Unread(16, 8)
    await world.marker.mark_read("alice", "general", ids[4])
    assert await world.unread() == Unread(11, 5)
    await world.marker.mark_read("alice", "general", ids[12])
    assert await world.unread() == Unread(3, 1)
