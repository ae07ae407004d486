"""Unread counts on real servers, whose consumers get every event at least twice."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fanout.api.channels import ChannelRequest
from fanout.api.unread import Counts
from fanout.streams import MESSAGE_WRITER, MESSAGES, META, UNREAD_COUNTER
from services.adapters.sqlite.messages import SqliteMessages
from tests.support import soak
from tests.support.servers import NatsServer
from tests.support.store_worlds import StoreWorld, some_at_once, store_world

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

PATIENCE_S = 200.0
"""Reached only by a test that fails."""
LARGE = 600
"""Members of a large channel."""
BACKLOG = 10_000


@pytest.fixture
async def world(nats_server: NatsServer, redis_url: str) -> AsyncIterator[StoreWorld]:
    messages = await SqliteMessages.open(None)
    try:
        async with store_world(nats_server.url, redis_url, messages) as world:
            yield world
    finally:
        await messages.close()


async def start_writers(world: StoreWorld) -> None:
    for _ in range(2):
        await world.start_writer(twice=True)


def came_twice(world: StoreWorld, events: int) -> bool:
    return all(world.came_again(MESSAGES, durable) == events for durable in (MESSAGE_WRITER, UNREAD_COUNTER))


@pytest.mark.parametrize("rounds", soak.ROUNDS_OF_READING)
async def test_reading_while_the_next_message_is_sent_leaves_exactly_that_one_unread(
    world: StoreWorld, rounds: int
) -> None:
    channels = [f"c{number}" for number in range(rounds)]
    for channel in channels:
        await world.create(channel, "alice", "bob", "carol")
    await start_writers(world)

    async def read_and_send(channel: str) -> None:
        fifth = [await world.post(channel) for _ in range(5)][-1]
        await asyncio.gather(world.client_commands.mark_read("alice", channel, fifth.message_id), world.post(channel))

    await some_at_once(map(read_and_send, channels))
    await world.caught_up(PATIENCE_S)
    assert came_twice(world, 6 * rounds)
    assert await world.queries.counts("alice") == Counts(dict.fromkeys(channels, 1), rounds, 0)
    assert await world.queries.counts("carol") == Counts(dict.fromkeys(channels, 6), 6 * rounds, 0)
    for channel in channels:
        (state,) = await world.counts.states("bob", [channel])
        assert (state.count, state.own, state.pointer.count) == (6, 6, 0)


@pytest.mark.parametrize("joins", ["counted", "behind"])
async def test_who_joins_a_large_channel_with_a_long_history_has_what_comes_then_unread(
    world: StoreWorld, joins: str
) -> None:
    await world.create("large", *(f"user-{number}" for number in range(LARGE)))
    await some_at_once(world.post("large", "user-0") for _ in range(BACKLOG))
    if joins == "counted":
        await start_writers(world)
        await world.caught_up(PATIENCE_S)
    await world.commands.join("carol", ChannelRequest("large"))
    await world.post("large", "user-0")
    if joins == "behind":
        await start_writers(world)
    await world.caught_up(PATIENCE_S)
    assert came_twice(world, BACKLOG + 1)
    assert world.came_again(META, UNREAD_COUNTER) == 1
    assert await world.queries.counts("carol") == Counts({"large": 1}, 1, 0)
    assert await world.queries.counts("user-1") == Counts({"large": BACKLOG + 1}, BACKLOG + 1, 0)


async def test_after_leaving_nothing_comes_back_by_events_that_come_again_or_late(world: StoreWorld) -> None:
    for channel in ("general", "other"):
        await world.create(channel, "alice", "bob")
    await start_writers(world)
    await world.post("other")
    for number in range(7):
        await world.post("general", "bob", *(["alice"] if number < 2 else []))
    await world.caught_up(PATIENCE_S)
    assert await world.queries.counts("alice") == Counts({"general": 7, "other": 1}, 8, 2)
    late = asyncio.create_task(world.post("general", "bob", "alice"))
    await world.commands.leave("alice", ChannelRequest("general"))
    await late
    await world.post("general", "bob", "alice")
    await world.caught_up(PATIENCE_S)
    assert await world.queries.counts("alice") == Counts({"other": 1}, 1, 0)
    await world.commands.join("alice", ChannelRequest("general"))
    await world.caught_up(PATIENCE_S)
    assert await world.queries.counts("alice") == Counts({"other": 1}, 1, 0)
    await world.post("general", "bob", "alice")
    await world.caught_up(PATIENCE_S)
    assert await world.queries.counts("alice") == Counts({"general": 1, "other": 1}, 2, 1)
    assert came_twice(world, 11)


@pytest.mark.parametrize("members", [3, LARGE], ids=["small channel", "large channel"])
async def test_a_reply_in_its_thread_alone_is_no_message_of_the_channel(world: StoreWorld, members: int) -> None:
    users = [f"user-{number}" for number in range(members)]
    await world.create("general", *users)
    await start_writers(world)
    root = (await world.post("general", "user-0")).message_id
    await world.client_commands.mark_read("user-1", "general", root)
    replies = [
        (await world.post("general", "user-0", thread_id=root, also_send_to_channel=also)).message_id
        for also in (False, True, False)
    ]
    _, both, _ = replies
    await world.caught_up(PATIENCE_S)
    assert came_twice(world, 4)
    assert await world.queries.counts("user-1") == Counts({"general": 1}, 1, 0)
    assert await world.queries.counts(users[-1]) == Counts({"general": 2}, 2, 0)
    assert await world.history("general") == [root, both]
    assert await world.replies(root) == replies
    (state,) = await world.counts.states("user-1", ["general"])
    assert state.latest_id == both
