"""Pages of the history, as a caller of the query service walks through them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout.api.history import MAX_PAGE_BYTES, MAX_SEQ, History, HistoryRequest
from fanout.api.realtime import NoInstance
from fanout.errors import CallRejected, InvalidId, Unavailable
from fanout.events import StoredMessage, encode
from fanout.ids import new_message_id
from fanout.ports.log import Consumer, StoredEvent
from fanout.ports.memberships import Channel
from fanout.ports.presence import Lease
from fanout.streams import MESSAGE_WRITER, MESSAGES
from fanout.subjects import message
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
from tests.support.stored import in_history, stored_message

IDS = [new_message_id() for _ in range(2)]


@dataclass
class World:
    """Channels of alice and bob, their log, and the messages that the writer has stored."""

    log: FaultyLog
    memberships: FaultyMemberships
    messages: FaultyMessages
    writer: Consumer
    _taken: dict[int, StoredEvent] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.queries = QueryService(self.log, MembershipCache(self.memberships), self.messages, FaultyPresence())

    async def post(self, message_id: str, channel: str = "general", *, text: str = "hi", stored: bool = True) -> int:
        """Append a message to the log, and have the writer store it."""
        payload = stored_message(channel, message_id=message_id, text=text)
        seq = (await self.log.append(message(channel), payload, msg_id=message_id)).seq
        if stored:
            await self.store(message_id, seq, channel, text)
        return seq

    async def store(self, message_id: str, seq: int, channel: str = "general", text: str = "hi") -> None:
        """Write a message as the writer does, and acknowledge its event."""
        await self.messages.write([StoredMessage(message_id, channel, "ann", text, "t", seq=seq)])
        while seq not in self._taken:
            self._taken |= {event.seq: event for event in await self.writer.fetch()}
        await self.writer.ack([self._taken[seq]])

    async def page(self, user: str = "alice", channel: str = "general", **start: Any) -> History:
        return await self.queries.history(user, HistoryRequest(channel, **start))

    async def ids(self, **start: Any) -> list[str]:
        return [message.message_id for message in (await self.page(**start)).messages]


@asynccontextmanager
async def opened_world() -> AsyncIterator[World]:
    async with (
        faulty_log(longest=2 * MAX_PAGE_BYTES) as log,  # as if an earlier server had taken longer events
        faulty_memberships() as memberships,
        faulty_messages() as messages,
    ):
        for name in ("general", "random"):
            channel = Channel(name, name, private=False, created_by="alice", created_at="t")
            await memberships.create(channel, ["alice", "bob"])
        yield World(log, memberships, messages, await log.consume(MESSAGES, MESSAGE_WRITER))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with opened_world() as world:
        yield world


@pytest.fixture
async def ids(world: World) -> list[str]:
    """Seven messages, of the numbers 1 to 7."""
    posted = [new_message_id() for _ in range(7)]
    for message_id in posted:
        await world.post(message_id)
    return posted


async def test_newest_first_and_whole_where_it_fits(world: World, ids: list[str]) -> None:
    for limit in (50, 7):
        page = await world.page(limit=limit)
        assert [(each.seq, each.message_id) for each in page.messages] == list(
            zip(range(7, 0, -1), ids[::-1], strict=True)
        )
        assert (page.upto_seq, page.cursor) == (7, None)


@pytest.mark.parametrize("by", ["id", "seq"])
async def test_before_and_after_are_exclusive_and_take_an_id_or_a_seq(world: World, ids: list[str], by: str) -> None:
    def start(number: int) -> str:
        return ids[number - 1] if by == "id" else str(number)

    assert await world.ids(before=start(3)) == ids[1::-1]
    assert await world.ids(after=start(5)) == ids[:4:-1]
    assert await world.ids(after=start(1), limit=2) == [ids[2], ids[1]]
    assert await world.ids(before=start(1)) == await world.ids(after=start(7)) == []


async def test_a_seq_need_not_be_of_the_channel(world: World) -> None:
    first, between, last = [new_message_id() for _ in range(3)]
    await world.post(first)
    await world.post(between, "random")
    await world.post(last)
    assert await world.ids(before="2") == [first]
    assert await world.ids(after="2") == [last]
    assert await world.ids(after="0") == [last, first]
    assert await world.ids(before=str(MAX_SEQ)) == [last, first]
    assert await world.ids(after=str(MAX_SEQ)) == []


async def test_a_client_that_catches_up_misses_nothing_where_the_clocks_of_gateways_differ(world: World) -> None:
    """The first message is of a gateway whose clock is ahead: its id sorts above those that follow it."""
    early, late, ahead = [new_message_id() for _ in range(3)]
    posted = [ahead, early, late]
    for message_id in posted:
        await world.post(message_id)
    assert await world.ids(after=ahead) == [late, early]
    assert await world.ids() == posted[::-1]
    assert await world.ids(before=late) == [early, ahead]


@given(st.integers(0, 12), st.integers(1, 5), st.sampled_from(["before", "after"]), st.randoms())
async def test_the_cursor_leads_through_everything_once(count: int, limit: int, direction: str, chance: Random) -> None:
    messages = [in_history(chance.randint(1, 6)) for _ in range(count)]  # several of one number, too
    async with opened_world() as world:
        await world.messages.write(messages)
        page = await world.page(limit=limit, **{direction: str(MAX_SEQ) if direction == "before" else "0"})
        seen = page.messages
        while page.cursor is not None:
            page = await world.page(limit=limit, cursor=page.cursor)
            assert page.messages
            seen = seen + page.messages if direction == "before" else page.messages + seen
    assert seen == sorted(messages, key=lambda each: (each.seq, each.message_id), reverse=True)


async def test_a_page_is_cut_at_its_bytes_and_the_cursor_goes_on(world: World) -> None:
    posted = [new_message_id() for _ in range(9)]
    for message_id in posted:
        await world.post(message_id, text="\x01" * 40_000)  # six bytes for each, as JSON
    page, seen = await world.page(limit=200), []
    while True:
        assert sum(len(encode(each)) + 1 for each in page.messages) <= MAX_PAGE_BYTES
        seen += [each.message_id for each in page.messages]
        if page.cursor is None:
            break
        page = await world.page(limit=200, cursor=page.cursor)
    assert seen == posted[::-1]


async def test_a_message_beyond_the_bytes_of_a_page_is_one_page(world: World) -> None:
    posted = [new_message_id() for _ in range(2)]
    for message_id in posted:
        await world.post(message_id, text="x" * (MAX_PAGE_BYTES + 1))
    page = await world.page()
    assert [each.message_id for each in page.messages] == posted[1:]
    assert page.cursor is not None


async def test_the_writer_that_is_behind_shows_in_upto_seq(world: World, ids: list[str]) -> None:
    """Another worker of the writer has stored a later event: the page has it, and does not claim what is between."""
    await world.post(new_message_id(), stored=False)
    later = new_message_id()
    await world.post(later)
    page = await world.page(after="7")
    assert ([each.message_id for each in page.messages], page.upto_seq) == ([later], 7)


async def test_who_asks_again_from_upto_seq_misses_nothing_that_the_writer_stores_late(world: World) -> None:
    posted = [new_message_id() for _ in range(6)]
    for message_id in posted:
        await world.post(message_id, stored=False)
    seen: set[str] = set()
    upto, stored = 0, [4, 5, 0, 1, 3, 2]  # by which several workers store them
    for index in stored:
        await world.store(posted[index], index + 1)
        page = await world.page(after=str(upto), limit=2)
        seen |= {each.message_id for each in page.messages}
        assert {posted[seq - 1] for seq in range(1, page.upto_seq + 1)} <= seen
        assert page.upto_seq >= upto
        upto = page.upto_seq
    while (page := await world.page(after=str(upto), limit=2)).messages:
        seen |= {each.message_id for each in page.messages}
        upto = page.upto_seq
    assert (seen, upto) == (set(posted), 6)


async def test_a_page_forward_that_is_cut_claims_no_more_than_it_shows(world: World, ids: list[str]) -> None:
    page = await world.page(after="1", limit=2)
    assert ([each.seq for each in page.messages], page.upto_seq) == ([3, 2], 3)
    page = await world.page(cursor=page.cursor, limit=3)
    assert ([each.seq for each in page.messages], page.upto_seq) == ([6, 5, 4], 6)
    page = await world.page(cursor=page.cursor)
    assert ([each.seq for each in page.messages], page.upto_seq) == ([7], 7)


async def test_who_walks_on_by_the_cursor_is_not_told_to_have_what_was_stored_late_behind_it(world: World) -> None:
    """The first page shows messages above one that is not stored yet; it is stored before the next page is read."""
    posted = [new_message_id() for _ in range(5)]
    for number, message_id in enumerate(posted, 1):
        await world.post(message_id, stored=number != 2)
    page = await world.page(after="0", limit=2)
    assert ([each.seq for each in page.messages], page.upto_seq) == ([3, 1], 1)
    await world.store(posted[1], 2)
    for seq in (4, 5):
        page = await world.page(cursor=page.cursor, limit=1)
        assert ([each.seq for each in page.messages], page.upto_seq) == ([seq], 1)
    page = await world.page(after="1")
    assert ([each.seq for each in page.messages], page.upto_seq) == ([5, 4, 3, 2], 5)


async def test_a_cursor_backward_claims_all_that_is_stored(world: World, ids: list[str]) -> None:
    await world.post(new_message_id(), stored=False)
    later = new_message_id()
    await world.post(later)
    page = await world.page(limit=1)
    assert ([each.message_id for each in page.messages], page.upto_seq) == ([later], 7)
    page = await world.page(cursor=page.cursor)
    assert ([each.seq for each in page.messages], page.upto_seq) == ([7, 6, 5, 4, 3, 2, 1], 7)


async def test_what_is_stored_after_the_log_was_asked_is_not_claimed(world: World) -> None:
    """The log is asked before the store is read, so that nothing comes between."""
    read = world.messages.history

    async def history(*args: object, **bounds: object) -> object:
        page = await read(*args, **bounds)  # type: ignore[arg-type]
        await world.post(new_message_id())
        return page

    world.messages.history = history  # type: ignore[method-assign, assignment]
    page = await world.page()
    assert (page.messages, page.upto_seq) == ([], 0)


async def test_each_page_says_what_the_log_held_when_it_was_asked_for(world: World, ids: list[str]) -> None:
    await world.post(new_message_id(), "random")
    await world.post(new_message_id(), stored=False)
    page = await world.page(limit=2)
    assert (page.upto_seq, page.newest_seq) == (8, 9)
    await world.post(new_message_id(), "random", stored=False)
    page = await world.page(cursor=page.cursor)
    assert (page.upto_seq, page.newest_seq) == (8, 10)


async def test_what_the_log_stores_while_the_store_is_read_is_not_what_it_held(world: World) -> None:
    """It comes over the socket: a client that waited for it would wait for more than it asked for."""
    read = world.messages.history

    async def history(*args: object, **bounds: object) -> object:
        await world.post(new_message_id())
        return await read(*args, **bounds)  # type: ignore[arg-type]

    world.messages.history = history  # type: ignore[method-assign, assignment]
    page = await world.page()
    assert ([each.seq for each in page.messages], page.upto_seq, page.newest_seq) == ([1], 0, 0)


async def test_a_message_that_is_not_stored_yet_is_known(world: World, ids: list[str]) -> None:
    await world.post("msg_" + "0" * 26, "random", stored=False)
    unstored = new_message_id()
    await world.post(unstored, stored=False)
    assert await world.ids(before=unstored) == ids[::-1]
    page = await world.page(after=unstored)
    assert (page.messages, page.upto_seq) == ([], 7)


@pytest.mark.parametrize("direction", ["before", "after"])
async def test_a_message_that_the_channel_does_not_have(world: World, ids: list[str], direction: str) -> None:
    elsewhere, unstored = new_message_id(), new_message_id()
    await world.post(elsewhere, "random")
    await world.post(unstored, "random", stored=False)
    for message_id in (new_message_id(), elsewhere, unstored):
        with pytest.raises(CallRejected) as caught:
            await world.page(**{direction: message_id})
        assert caught.value.error_code.code == "unknown_message"


async def test_the_history_is_read_without_the_log_and_claims_what_it_knew(world: World, ids: list[str]) -> None:
    world.log.down = True
    page = await world.page()
    assert ([each.seq for each in page.messages], page.upto_seq) == ([7, 6, 5, 4, 3, 2, 1], 0)
    assert "newest_seq" not in msgspec.to_builtins(page)
    world.log.down = False
    page = await world.page()
    assert (page.upto_seq, page.newest_seq) == (7, 7)
    world.log.down = True
    page = await world.page(after=ids[3])
    assert (page.upto_seq, page.newest_seq) == (7, None)
    with pytest.raises(Unavailable):
        await world.page(after=new_message_id())


async def test_a_cursor_is_good_for_its_caller_and_channel_only(world: World, ids: list[str]) -> None:
    cursor = (await world.page(limit=2)).cursor
    for user, channel in (("bob", "general"), ("alice", "random")):
        with pytest.raises(CallRejected) as caught:
            await world.page(user, channel, cursor=cursor)
        assert caught.value.error_code.code == "bad_cursor"
    assert [each.seq for each in (await world.page(cursor=cursor)).messages] == [5, 4, 3, 2, 1]


async def test_a_cursor_is_good_at_every_gateway(world: World, ids: list[str]) -> None:
    cursor = (await world.page(limit=2)).cursor
    world.queries = QueryService(world.log, MembershipCache(world.memberships), world.messages, FaultyPresence())
    assert [each.seq for each in (await world.page(cursor=cursor)).messages] == [5, 4, 3, 2, 1]


@pytest.mark.parametrize("start", [{"before": IDS[0], "after": IDS[1]}, {"after": "3", "cursor": "x"}])
async def test_a_request_that_contradicts_itself(start: dict[str, object]) -> None:
    with pytest.raises(CallRejected):
        HistoryRequest("general", **start)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields",
    [
        {"channel": "a.b"},
        {"before": "x"},
        {"after": "msg_x"},
        {"after": IDS[0] + "\n"},
        {"after": "7\n"},
        {"before": ""},
    ],
)
async def test_ids_are_checked(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidId):
        HistoryRequest(**({"channel": "general"} | fields))


async def test_a_seq_is_no_higher_than_any_can_be() -> None:
    with pytest.raises(CallRejected):
        HistoryRequest("general", after=str(MAX_SEQ + 1))


async def test_only_members_read_whatever_else_is_wrong(world: World) -> None:
    starts: list[dict[str, Any]] = [{}, {"cursor": "x"}, {"after": new_message_id()}]
    for channel in ("general", "no-such-channel"):
        for start in starts:
            with pytest.raises(CallRejected):
                await world.queries.history("mallory", HistoryRequest(channel, **start))


def lease(name: str, connections: int, capacity: int) -> Lease:
    return Lease(name, "1", f"ws://{name}/ws", "t", connections, capacity)


async def connected(*leases: Lease) -> str:
    presence = FaultyPresence()
    for held in leases:
        await presence.lease(held)
    async with opened_world() as world:
        return (
            await QueryService(world.log, MembershipCache(world.memberships), world.messages, presence).connect()
        ).url


async def test_the_instance_with_most_room() -> None:
    assert await connected(lease("a", 10, 100), lease("b", 900, 1000), lease("c", 5, 60)) == "ws://b/ws"


async def test_equals_share_by_chance() -> None:
    given = {await connected(lease("a", 0, 10), lease("b", 0, 10)) for _ in range(100)}
    assert given == {"ws://a/ws", "ws://b/ws"}


@pytest.mark.parametrize(
    ("leases", "why"),
    [
        ((), "no notification instance takes connections now"),
        ((lease("a", 10, 10),), "full"),
        ((lease("a", 11, 10),), "full"),
    ],
)
async def test_no_room_anywhere(leases: tuple[Lease, ...], why: str) -> None:
    with pytest.raises(NoInstance, match=why):
        await connected(*leases)
