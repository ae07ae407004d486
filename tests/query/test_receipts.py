"""`messages.receipts`: who has read a message, and whether the channel is too large for receipts."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from fanout.api import receipts as api
from fanout.api.receipts import MessageReceipts, ReceiptsRequest, UserReceipt
from fanout.error_codes import MESSAGE_NOT_FOUND, NOT_A_MEMBER
from fanout.errors import CallRejected, Unavailable
from fanout.events import StoredMessage
from fanout.ids import new_message_id
from fanout.ports.memberships import Channel
from fanout.ports.receipts import MAX_MEMBERS, MessageReceipt, Receipt
from fanout.subjects import message
from services.composition.reading import receipt_queries
from services.query import receipts as queries_module
from services.runtime.membership_cache import MembershipCache
from tests.support.faulty import (
    FaultyLog,
    FaultyMemberships,
    FaultyMessages,
    faulty_log,
    faulty_memberships,
    faulty_messages,
)
from tests.support.stored import in_history, stored_message

AT = "2026-02-01T10:00:00.000Z"


@dataclass
class World:
    log: FaultyLog
    memberships: FaultyMemberships
    messages: FaultyMessages

    def __post_init__(self) -> None:
        cache = MembershipCache(self.memberships)
        self.queries = receipt_queries(self.log, self.memberships, cache, self.messages, self.messages)

    async def read(self, message_id: str, *users: str) -> None:
        await self.messages.write_receipts([MessageReceipt("general", message_id, Receipt(user, AT)) for user in users])

    async def receipts(self, message_id: str, channel: str = "general", user: str = "alice") -> MessageReceipts:
        return await self.queries.receipts(user, ReceiptsRequest(channel, message_id))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with faulty_log() as log, faulty_memberships() as memberships, faulty_messages() as messages:
        for channel, member in (("general", "alice"), ("mine", "mallory")):
            document = Channel(channel, channel, private=False, created_by=member, created_at=AT)
            await memberships.create(document, [member])
        yield World(log, memberships, messages)


@pytest.fixture
async def stored(world: World) -> StoredMessage:
    found = in_history(1)
    await world.messages.write([found])
    return found


async def test_who_has_read_a_message_is_listed(world: World, stored: StoredMessage) -> None:
    assert await world.receipts(stored.message_id) == MessageReceipts([], "rows")
    await world.read(stored.message_id, "carol", "bob")
    expected = [UserReceipt("bob", AT), UserReceipt("carol", AT)]
    assert await world.receipts(stored.message_id) == MessageReceipts(expected, "rows")


async def test_a_channel_that_grew_keeps_the_receipts_that_it_has(world: World, stored: StoredMessage) -> None:
    await world.read(stored.message_id, "bob")
    newer = in_history(2)
    await world.messages.write([newer])
    await world.memberships.add("general", [f"user-{number}" for number in range(MAX_MEMBERS - 1)], AT)
    assert await world.receipts(newer.message_id) == MessageReceipts([], "rows")
    await world.memberships.add("general", ["one-more"], AT)
    assert await world.receipts(newer.message_id) == MessageReceipts([], "pointer")
    assert await world.receipts(stored.message_id) == MessageReceipts([UserReceipt("bob", AT)], "rows")


async def test_a_message_that_is_not_stored_yet_has_an_answer(world: World) -> None:
    message_id = new_message_id()
    await world.log.append(message("general"), stored_message("general", message_id=message_id), msg_id=message_id)
    assert await world.receipts(message_id) == MessageReceipts([], "rows")


async def test_nothing_of_a_channel_is_read_through_another_one(world: World, stored: StoredMessage) -> None:
    await world.read(stored.message_id, "bob")
    for channel, user, code in (
        ("general", "mallory", NOT_A_MEMBER),
        ("mine", "mallory", MESSAGE_NOT_FOUND),
        ("mine", "alice", NOT_A_MEMBER),
    ):
        with pytest.raises(CallRejected) as caught:
            await world.receipts(stored.message_id, channel, user)
        assert caught.value.error_code is code
    with pytest.raises(CallRejected) as caught:
        await world.receipts(new_message_id())
    assert caught.value.error_code is MESSAGE_NOT_FOUND


async def test_an_answer_is_bounded_and_says_that_there_are_more(
    world: World, stored: StoredMessage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries_module, "MAX_RECEIPTS", 3)
    await world.read(stored.message_id, "a", "b", "c")
    assert not (await world.receipts(stored.message_id)).more
    await world.read(stored.message_id, "a", "b", "c", "d")
    answer = await world.receipts(stored.message_id)
    assert ([each.user_id for each in answer.receipts], answer.more) == (["a", "b", "c"], True)
    assert api.MAX_RECEIPTS >= MAX_MEMBERS


async def test_a_store_that_is_away_is_said(world: World, stored: StoredMessage) -> None:
    world.messages.down = True
    with pytest.raises(Unavailable):
        await world.receipts(stored.message_id)


@pytest.mark.parametrize("wrong", ["msg_1", "*", "msg_01ARZ3NDEKTSV4RRFFQ69G5FAV\n"])
def test_a_request_names_a_message(wrong: str) -> None:
    with pytest.raises(ValueError, match="message_id"):
        ReceiptsRequest("general", wrong)
