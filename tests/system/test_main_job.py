"""The main job on real parts: gateways, workers, instances and a writer, each a process of its own."""

import asyncio
import os
import random
from collections import defaultdict

import pytest

from fanout.ports.messages import Position
from services.adapters.sqlite.messages import SqliteMessages
from tests.support.clients import Caller, Listener, open_listener
from tests.support.cluster import Cluster

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

MESSAGES = int(os.environ.get("FANOUT_TEST_MESSAGES", "20000"))
USERS = 300
CHANNELS = 50
CHANNELS_PER_USER = 5
CONCURRENT_POSTS = 64
PAGE = 200


def memberships() -> dict[str, list[str]]:
    """Users by channel; every channel has one, and some have many."""
    choice = random.Random(7)  # noqa: S311 - a fixed layout
    members: dict[str, list[str]] = {f"channel-{number}": [f"user-{number}"] for number in range(CHANNELS)}
    for number in range(USERS):
        for channel in choice.sample(sorted(members), CHANNELS_PER_USER):
            if f"user-{number}" not in members[channel]:
                members[channel].append(f"user-{number}")
    return members


async def post_all(caller: Caller, members: dict[str, list[str]]) -> dict[str, list[str]]:
    """Post from many members at once; the message ids by channel."""
    choice = random.Random(11)  # noqa: S311 - a fixed load
    posted: defaultdict[str, list[str]] = defaultdict(list)
    turns = asyncio.Semaphore(CONCURRENT_POSTS)

    async def post(number: int) -> None:
        channel = choice.choice(sorted(members))
        async with turns:
            message_id = await caller.say(choice.choice(members[channel]), channel, f"message {number}")
        posted[channel].append(message_id)

    await asyncio.gather(*(post(number) for number in range(MESSAGES)))
    return dict(posted)


def assert_received(listener: Listener, posted: dict[str, list[str]], members: dict[str, list[str]]) -> None:
    mine = {channel for channel, users in members.items() if listener.user_id in users}
    news = listener.of_type("message.new")
    received = [frame["message"]["message_id"] for frame in news]
    assert len(received) == len(set(received)), "an event came twice"
    assert set(received) == {message_id for channel in mine for message_id in posted.get(channel, [])}
    last: defaultdict[str, int] = defaultdict(int)
    for frame in news:
        assert frame["seq"] > last[frame["channel_id"]], "out of order within a channel"
        last[frame["channel_id"]] = frame["seq"]


async def assert_stored(cluster: Cluster, posted: dict[str, list[str]]) -> None:
    messages = await SqliteMessages.open(cluster.data / "messages.db")
    try:
        for channel, expected in posted.items():
            stored: list[str] = []
            last: Position | None = None
            while page := (await messages.history(channel, before=last, limit=PAGE)).messages:
                stored += [message.message_id for message in page]
                last = Position(page[-1].seq, page[-1].message_id)
            assert sorted(stored) == sorted(expected)
    finally:
        await messages.close()


async def test_each_client_gets_exactly_the_messages_of_its_channels_once_in_order(cluster: Cluster) -> None:
    await cluster.start_all({"message-writer": 1, "fanout": 2, "notification": 3, "gateway": 2})
    caller = Caller(*(gateway.url for gateway in cluster.all("gateway")))
    members = memberships()
    for channel, users in members.items():
        await caller.create(users[0], channel, *users[1:])
    addresses = [instance.ws_url for instance in cluster.all("notification")]
    listeners = await asyncio.gather(
        *(open_listener(addresses[number % len(addresses)], f"user-{number}") for number in range(USERS))
    )
    posted = await post_all(caller, members)
    expected = {
        user: sum(len(posted.get(c, [])) for c, users in members.items() if user in users)
        for user in (listener.user_id for listener in listeners)
    }
    for listener in listeners:
        await listener.until(lambda who=listener: len(who.of_type("message.new")) >= expected[who.user_id], 60)  # type: ignore[misc]
    await asyncio.sleep(1)  # what should not come has time to come
    for listener in listeners:
        assert_received(listener, posted, members)
    assert sum(map(len, posted.values())) == MESSAGES
    await cluster.services["message-writer-1"].stop()
    await assert_stored(cluster, posted)
    await asyncio.gather(*(listener.close() for listener in listeners))
    await caller.close()
