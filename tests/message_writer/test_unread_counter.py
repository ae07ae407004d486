"""Every message is counted once and in the order of the log, whatever the log, the store and other counters do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fanout.events import MemberJoined, MemberLeft, encode
from fanout.ids import new_event_id, new_message_id
from fanout.ports.memberships import Channel
from fanout.ports.messages import LogPlace
from fanout.ports.unread import CountedMessage, ReadPosition, Unread
from fanout.streams import MESSAGE_WRITER, MESSAGES, UNREAD_COUNTER
from fanout.subjects import member_joined, member_left, message
from services.adapters.embedded.deployment import EmbeddedDeployment
from services.adapters.embedded.faults import FaultInjection
from services.adapters.embedded.log import EmbeddedLog
from services.composition.reading import client_commands, read_positions
from services.message_writer.unread_counter import MembershipCounter, UnreadCounter, running_unread_counter
from services.message_writer.writer import MessageWriter
from services.runtime.active_channels import ActiveChannels
from services.runtime.channel_messages import counted_message
from services.runtime.membership_cache import MembershipCache
from services.runtime.read_positions import ReadPositions
from tests.support.faulty import FaultyBus, FaultyUnread, faulty_memberships, faulty_messages, faulty_unread
from tests.support.observing import WITHIN_S, eventually, until
from tests.support.stored import stored_message


class World:
    """A log, a store of counts and what stands beside them; nothing writes the message store."""

    def __init__(self, log: EmbeddedLog, counts: FaultyUnread, stack: AsyncExitStack) -> None:
        self.log = log
        self.counts = counts
        self.failures: list[BaseException] = []
        self._stack = stack

    async def post(self, channel: str = "c", sender: str = "bob", *mentions: str, **fields: object) -> str:
        message_id = new_message_id()
        payload = stored_message(channel, sender_id=sender, mentions=list(mentions), message_id=message_id, **fields)
        await self.log.append(message(channel), payload, msg_id=message_id)
        return message_id

    async def run_counter(self) -> AsyncExitStack:
        """Run a counter until the result is closed."""
        stack = AsyncExitStack()
        positions = read_positions(self.log, await self._stack.enter_async_context(faulty_messages()))
        await stack.enter_async_context(running_unread_counter(self.log, self.counts, positions, self.failures.append))
        return stack

    async def settled(self) -> None:
        """Wait until everything in the log is acknowledged."""
        end = await self.log.last_seq(MESSAGES)

        async def all_of_it() -> bool:
            return await self.log.acknowledged(MESSAGES, UNREAD_COUNTER) >= end

        await eventually(all_of_it, WITHIN_S)

    async def unread(self, user: str = "alice", channel: str = "c") -> Unread:
        return (await self.counts.unread(user, [channel])).get(channel, Unread(0, 0))


@asynccontextmanager
async def opened(faults: FaultInjection | None = None) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        log = await EmbeddedLog.open(None, faults=faults, ack_wait=0.3)
        stack.push_async_callback(log.close)
        counts = await stack.enter_async_context(faulty_unread())
        world = World(log, counts, stack)
        yield world
        assert not world.failures


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(None, id="none"),
        pytest.param(FaultInjection(redeliver=0.3, duplicate=0.3), id="twice"),
        pytest.param(FaultInjection(lose_ack=0.3, delay=0.5), id="acks lost, late"),
    ],
)
async def test_every_message_is_counted_once(faults: FaultInjection | None) -> None:
    async with opened(faults) as world, await world.run_counter(), await world.run_counter():
        for number in range(300):
            await world.post("c", "bob" if number % 3 else "alice", *(["alice"] if number % 10 == 1 else []))
        await world.settled()
        assert await world.unread() == Unread(200, 20)
        (state,) = await world.counts.states("alice", ["c"])
        assert (state.count, state.own) == (300, 100)


async def test_reading_while_the_next_message_comes_leaves_exactly_that_one_unread() -> None:
    async with (
        opened(FaultInjection(redeliver=0.5, duplicate=0.5)) as world,
        faulty_messages() as messages,
        faulty_memberships() as memberships,
        await world.run_counter(),
    ):
        marker = client_commands(
            world.log,
            FaultyBus(),
            memberships,
            MembershipCache(memberships),
            messages,
            world.counts,
            world.counts,
            ActiveChannels(world.counts),
        )
        channels = [f"c{number}" for number in range(100)]
        for channel in channels:
            document = Channel(channel, channel, private=False, created_by="alice", created_at="t")
            await memberships.create(document, ["alice"])
            ids = [await world.post(channel) for _ in range(5)]
            await asyncio.gather(marker.mark_read("alice", channel, ids[-1]), world.post(channel))
        await world.settled()
        assert await world.counts.unread("alice", channels) == dict.fromkeys(channels, Unread(1, 0))


async def test_a_reply_in_its_thread_alone_counts_in_no_channel_and_its_mention_counts() -> None:
    async with opened(FaultInjection(redeliver=0.5)) as world, await world.run_counter():
        in_channel = await world.post()
        await world.post("c", "bob", "alice", thread_id=new_message_id())
        await world.settled()
        assert await world.unread() == Unread(1, 1)
        (state,) = await world.counts.states("alice", ["c"])
        assert state.latest_id == in_channel


async def test_an_event_that_cannot_be_read_stops_nothing() -> None:
    async with opened() as world, await world.run_counter():
        await world.post()
        await world.log.append(message("c"), b"not json", msg_id="x")
        await world.post()
        await world.settled()
        assert await world.unread() == Unread(2, 0)


async def test_a_store_that_is_away_delays_and_loses_nothing() -> None:
    async with opened() as world, await world.run_counter():
        await world.post()
        await world.settled()
        world.counts.down = True
        for _ in range(20):
            await world.post()
        await until(lambda: world.counts.calls["count"] >= 3, "tried again")
        world.counts.down = False
        await world.settled()
        assert await world.unread() == Unread(21, 0)


async def test_what_a_store_loses_with_its_position_is_counted_again() -> None:
    """As a Redis that fails over loses its last writes, which the log has delivered and had acknowledged."""
    async with opened() as world:
        counter = UnreadCounter(world.log, world.counts)
        for _ in range(6):
            await world.post()
        events = [counted_message(event) async for event in world.log.read(MESSAGES, after=0, upto=6)]
        newest = await anext(world.log.read(MESSAGES, after=5, upto=6))
        await counter.handle(events[:5], newest)
        async with faulty_unread() as older:
            await older.count(events[:2], after=0)
            counter._counts = older
            await counter.handle(events[5:], newest)
            assert (await older.unread("alice", ["c"])) == {"c": Unread(6, 0)}


async def test_batches_may_come_in_any_order() -> None:
    async with opened() as world:
        for _ in range(10):
            await world.post()
        events = [event async for event in world.log.read(MESSAGES, after=0, upto=10)]
        counters = [UnreadCounter(world.log, world.counts) for _ in range(2)]
        for number in (3, 0, 2, 4, 1):
            some = events[2 * number : 2 * number + 2]
            await counters[number % 2].handle([counted_message(event) for event in some], some[-1])
        assert await world.unread() == Unread(10, 0)


async def test_a_log_that_was_restored_goes_on_being_counted(tmp_path: Path) -> None:
    deployment, file = EmbeddedDeployment(), tmp_path / "log.db"
    async with AsyncExitStack() as stack:
        counts = await stack.enter_async_context(faulty_unread())

        async def counted(number: int) -> None:
            log = await EmbeddedLog.open(file, deployment=deployment)
            world = World(log, counts, stack)
            async with await world.run_counter():
                await until(lambda: (MESSAGES, UNREAD_COUNTER) in log._queues, "a counter that reads")
                for _ in range(number):
                    await world.post()
                await world.settled()
            await log.close()
            assert not world.failures

        await counted(5)
        backup = file.read_bytes()
        await counted(5)
        file.write_bytes(backup)
        place = await counts.place()
        await counted(4)
        assert (await counts.unread("alice", ["c"]))["c"] == Unread(14, 0)
        assert place is not None
        later = await counts.place()
        assert later is not None
        assert later.seq > place.seq


async def test_it_keeps_no_place_whose_time_is_not_known() -> None:
    async with opened() as world:
        counter = UnreadCounter(world.log, world.counts)
        assert await counter.kept_place() is None
        await world.counts.count([CountedMessage(1, "c", "m", "bob")], after=0)
        assert await counter.kept_place() is None
        await world.counts.count([CountedMessage(2, "c", "m", "bob", stored_ns=7)], after=1)
        assert await counter.kept_place() == LogPlace(2, 7)


async def test_a_join_begins_at_the_position_that_its_event_names() -> None:
    async with opened() as world:
        ids = [await world.post() for _ in range(3)]
        await world.post()
        joined = MemberJoined(new_event_id(), "c", "alice", "t", 10, 3)
        await world.log.append(member_joined("c"), encode(joined), msg_id="j")
        async with await world.run_counter():
            await world.settled()
            await until(lambda: world.counts.calls["joined"] > 0, "the join")
        (state,) = await world.counts.states("alice", ["c"])
        assert (state.pointer.message_id, state.unread) == (ids[-1], 1)


async def test_a_member_who_has_left_gets_nothing_back_by_late_events() -> None:
    async with opened() as world, await world.run_counter():
        for event, subject in (
            (MemberLeft(new_event_id(), "c", "alice", "t", 11), member_left("c")),
            (MemberJoined(new_event_id(), "c", "alice", "t", 10, 0), member_joined("c")),
        ):
            await world.log.append(subject, encode(event), msg_id=event.event_id)
        await until(lambda: world.counts.calls["left"] + world.counts.calls["joined"] >= 2, "both")
        await world.post("c", "bob", "alice")
        await world.settled()
        assert (await world.unread()).mentions == 0
        assert not await world.counts.mark_read("alice", "c", ReadPosition(9, 9))


@pytest.mark.parametrize("counted", ["before the leave", "after the leave"])
@pytest.mark.parametrize("thread", [None, "msg_root"])
async def test_a_mention_after_a_join_is_unread_though_it_is_counted_before_the_join(
    counted: str, thread: str | None
) -> None:
    async with opened() as world, faulty_messages() as messages:
        memberships = MembershipCounter(world.counts, read_positions(world.log, messages))
        await world.post()
        await world.post("c", "bob", "alice", thread_id=thread)
        await world.post("c", "bob", "eve")
        await world.post("other", "bob", "alice")
        events = [event async for event in world.log.read(MESSAGES, after=0, upto=4)]
        if counted == "after the leave":
            await world.counts.left("alice", "c", 10)
        await UnreadCounter(world.log, world.counts).handle([counted_message(event) for event in events], events[-1])
        await world.counts.left("alice", "c", 10)
        joined = MemberJoined(new_event_id(), "c", "alice", "t", 11, 1)
        for _ in range(2):  # the event may come again
            await memberships.handle([joined], events[-1])
            assert await world.unread() == Unread(1 if thread else 2, 1)
        await world.counts.mark_read("alice", "c", ReadPosition(3, 3))
        await memberships.handle([joined], events[-1])
        assert (await world.unread()).mentions == 0


@pytest.mark.parametrize("since", [0, 1])
async def test_a_late_event_of_a_join_brings_no_mention_back_to_who_has_left(since: int) -> None:
    async with opened() as world, faulty_messages() as messages:
        memberships = MembershipCounter(world.counts, read_positions(world.log, messages))
        await world.post()
        await world.post("c", "bob", "alice")
        events = [event async for event in world.log.read(MESSAGES, after=0, upto=2)]
        await UnreadCounter(world.log, world.counts).handle([counted_message(event) for event in events], events[-1])
        await world.counts.left("alice", "c", 12)
        await memberships.handle([MemberJoined(new_event_id(), "c", "alice", "t", 11, since)], events[-1])
        assert (await world.unread()).mentions == 0
        (state,) = await world.counts.states("alice", ["c"])
        assert state.pointer.seq == 0


async def test_the_pointer_moves_while_the_mentions_of_a_join_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened() as world, faulty_messages() as messages:
        positions = read_positions(world.log, messages)
        mentions = ReadPositions.mentions

        async def mark_meanwhile(self: ReadPositions, *arguments: Any) -> list[int]:
            found = await mentions(self, *arguments)
            await world.counts.mark_read("alice", "c", ReadPosition(2, 2))
            return found

        monkeypatch.setattr(ReadPositions, "mentions", mark_meanwhile)
        for _ in range(3):
            await world.post("c", "bob", "alice")
        events = [event async for event in world.log.read(MESSAGES, after=0, upto=3)]
        await world.counts.left("alice", "c", 10)
        await UnreadCounter(world.log, world.counts).handle([counted_message(event) for event in events], events[-1])
        joined = MemberJoined(new_event_id(), "c", "alice", "t", 11, 1)
        await MembershipCounter(world.counts, positions).handle([joined], events[-1])
        assert await world.unread() == Unread(1, 1)


@pytest.mark.parametrize("stored", [0, 2, 4])
@pytest.mark.parametrize("since", [0, 1, 2, 3])
async def test_a_join_names_the_newest_message_of_its_time_though_later_ones_are_counted(
    stored: int, since: int
) -> None:
    async with opened() as world, faulty_messages() as messages:
        ids = ["", *[await world.post() for _ in range(2)]]
        await world.post(thread_id=ids[1])
        await world.post()
        events = [event async for event in world.log.read(MESSAGES, after=0, upto=4)]
        if stored:
            consumer = await world.log.consume(MESSAGES, MESSAGE_WRITER, batch=stored)
            writer = MessageWriter(messages)
            await writer.handle([writer.decode(event) for event in events[:stored]], events[stored - 1])
            await consumer.ack(await consumer.fetch())
        await UnreadCounter(world.log, world.counts).handle([counted_message(event) for event in events], events[-1])
        memberships = MembershipCounter(world.counts, read_positions(world.log, messages))
        await memberships.handle([MemberJoined(new_event_id(), "c", "alice", "t", 10, since)], events[-1])
        (state,) = await world.counts.states("alice", ["c"])
        assert (state.pointer.seq, state.pointer.message_id) == (since, ids[min(since, 2)])
