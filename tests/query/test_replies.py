"""Pages of a thread, as a caller of the query service walks through them."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from fanout.api.history import MAX_PAGE_BYTES
from fanout.api.threads import Replies, RepliesRequest
from fanout.errors import CallRejected, Unavailable
from fanout.ids import new_message_id
from fanout.ports.log import Consumer
from fanout.ports.memberships import Channel
from fanout.streams import MESSAGE_WRITER, MESSAGES
from fanout.subjects import message
from services.message_writer.writer import MessageWriter
from services.query.service import QueryService
from services.runtime.membership_cache import MembershipCache
from tests.support.faulty import (
    FaultyLog,
    FaultyMemberships,
    FaultyMessages,
    FaultyPresence,
    faulty_log,
    faulty_memberships,
    faulty_messages,
)
from tests.support.stored import stored_message


@dataclass
class World:
    """Two channels of alice and bob, their log, and a writer that stores when it is told."""

    log: FaultyLog
    memberships: FaultyMemberships
    messages: FaultyMessages
    writer: Consumer

    def __post_init__(self) -> None:
        self.queries = QueryService(self.log, MembershipCache(self.memberships), self.messages, FaultyPresence())

    async def post(self, channel: str = "general", **fields: Any) -> str:
        message_id = new_message_id()
        payload = stored_message(channel, message_id=message_id, **fields)
        await self.log.append(message(channel), payload, msg_id=message_id)
        return message_id

    async def store(self, *, without: Sequence[str] = ()) -> None:
        """Store and acknowledge what was posted since, without some messages."""
        writer = MessageWriter(self.messages)
        for event in await self.writer.fetch():
            decoded = writer.decode(event)
            if decoded.message_id not in without:
                await writer.handle([decoded], event)
                await self.writer.ack([event])

    async def thread(self, replies: int, **fields: Any) -> tuple[str, list[str]]:
        """A thread of so many replies, all stored."""
        root = await self.post()
        ids = [await self.post(thread_id=root, **fields) for _ in range(replies)]
        await self.store()
        return root, ids

    async def page(self, thread_id: str, user: str = "alice", **more: Any) -> Replies:
        return await self.queries.replies(user, RepliesRequest(thread_id, **more))

    async def refused(self, thread_id: str, user: str = "alice", **more: Any) -> str:
        with pytest.raises(CallRejected) as caught:
            await self.page(thread_id, user, **more)
        return caught.value.error_code.code


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with (
        faulty_log(longest=2 * MAX_PAGE_BYTES) as log,
        faulty_memberships() as memberships,
        faulty_messages() as messages,
    ):
        for name in ("general", "random"):
            channel = Channel(name, name, private=False, created_by="alice", created_at="t")
            await memberships.create(channel, ["alice", "bob"])
        yield World(log, memberships, messages, await log.consume(MESSAGES, MESSAGE_WRITER))


def ids_of(page: Replies) -> list[str]:
    return [reply.message_id for reply in page.replies]


async def test_oldest_first_and_whole_where_it_fits(world: World) -> None:
    root, replies = await world.thread(7)
    for limit in (50, 7):
        page = await world.page(root, limit=limit)
        assert (ids_of(page), page.reply_count) == (replies, 7)
        assert (page.upto_seq, page.newest_seq, page.cursor) == (8, 8, None)


async def test_the_cursor_leads_to_the_end(world: World) -> None:
    root, replies = await world.thread(7)
    await world.thread(3)
    page = await world.page(root, limit=3)
    seen = ids_of(page)
    while page.cursor is not None:
        page = await world.page(root, limit=3, cursor=page.cursor)
        seen += ids_of(page)
        assert page.reply_count == 7
    assert seen == replies


async def test_a_thread_without_replies_is_empty_stored_or_not(world: World) -> None:
    root = await world.post()
    assert await world.page(root) == Replies([], 0, 0, newest_seq=1)
    await world.store()
    assert await world.page(root) == Replies([], 0, 1, newest_seq=1)


async def test_what_is_no_first_message_of_a_thread_is_unknown(world: World) -> None:
    _, (reply,) = await world.thread(1)
    _, (both,) = await world.thread(1, also_send_to_channel=True)
    assert {await world.refused(each) for each in (reply, both, new_message_id(), "made-up")} == {"unknown_thread"}


async def test_the_membership_of_the_channel_is_checked_before_the_cursor(world: World) -> None:
    root, _ = await world.thread(3)
    cursor = (await world.page(root, limit=1)).cursor
    assert await world.refused(root, "mallory") == await world.refused(root, "mallory", cursor=cursor) == "not_a_member"
    await world.memberships.remove("general", "bob", "2026-01-01T00:00:00.000Z")
    assert await world.refused(root, "bob", cursor="no cursor") == "not_a_member"


async def test_a_cursor_is_of_one_user_and_thread_and_of_this_call(world: World) -> None:
    (root, _), (other, _) = await world.thread(3), await world.thread(3)
    cursor = str((await world.page(root, limit=1)).cursor)
    assert await world.refused(root, "bob", cursor=cursor) == "bad_cursor"
    assert await world.refused(other, cursor=cursor) == "bad_cursor"
    flipped = ("A" if cursor[0] != "A" else "B") + cursor[1:]
    for bad in (flipped, cursor[:9], "x" * 10_000, ""):
        assert await world.refused(root, cursor=bad) == "bad_cursor"


async def test_a_page_ends_before_its_limit_where_it_has_a_mebibyte(world: World) -> None:
    root, replies = await world.thread(3, text="x" * 500_000)
    page = await world.page(root)
    assert ids_of(page) == replies[:2]
    assert ids_of(await world.page(root, cursor=page.cursor)) == replies[2:]


async def test_a_reply_that_is_stored_late_is_above_what_the_pages_claim(world: World) -> None:
    """The pages that follow by cursor never show it, so they claim no more than the first one."""
    root = await world.post()
    late = await world.post(thread_id=root)
    later = [await world.post(thread_id=root) for _ in range(3)]
    await world.store(without=[late])
    page = await world.page(root, limit=2)
    assert (ids_of(page), page.upto_seq) == (later[:2], 1)
    following = await world.page(root, cursor=page.cursor)
    assert (ids_of(following), following.upto_seq) == (later[2:], 1)


async def test_without_the_store_a_thread_is_unavailable_and_without_the_log_it_can_be_read(world: World) -> None:
    root, replies = await world.thread(2)
    world.log.down = True
    page = await world.page(root)
    assert (ids_of(page), page.newest_seq) == (replies, None)
    world.messages.down = True
    with pytest.raises(Unavailable):
        await world.page(root)
