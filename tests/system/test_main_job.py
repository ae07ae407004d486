"""The main job on real parts: gateways, workers, instances and a writer, each a process of its own.

The clients and the callers are as cheap as can be: with dearer ones this process is what the others wait for.
"""

import asyncio
import os
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from fanout.ids import new_device_id
from fanout.ports.messages import Position
from services.adapters.sqlite.messages import SqliteMessages
from tests.chaos.check import check
from tests.chaos.clients import OPEN_AT_ONCE, Client
from tests.support.clients import Caller
from tests.support.cluster import Cluster, token
from tests.support.observing import until
from tests.support.rest_connections import RestConnection

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


def load(members: dict[str, list[str]]) -> Iterator[tuple[str, str, str]]:
    """Who posts where, and what."""
    choice = random.Random(11)  # noqa: S311 - a fixed load
    channels = sorted(members)
    for number in range(MESSAGES):
        channel = choice.choice(channels)
        yield choice.choice(members[channel]), channel, f"message {number}"


async def create_all(gateways: list[str], members: dict[str, list[str]]) -> None:
    caller = Caller(*gateways)
    for channel, users in members.items():
        await caller.create(users[0], channel, *users[1:])
    await caller.close()


async def post_all(gateways: list[str], members: dict[str, list[str]]) -> dict[str, list[str]]:
    """Post from many members at once; the message ids by channel."""
    posted: defaultdict[str, list[str]] = defaultdict(list)
    posts = load(members)

    async def post_some(gateway: str) -> None:
        connection = await RestConnection.open(gateway)
        for user, channel, text in posts:
            status, answer = await connection.post(user, "chat.sendMessage", channel=channel, text=text)
            assert status == 202, answer
            posted[channel].append(answer["message_id"])
        await connection.close()

    await asyncio.gather(*(post_some(gateways[number % len(gateways)]) for number in range(CONCURRENT_POSTS)))
    return dict(posted)


async def listening_clients(cluster: Cluster, members: dict[str, list[str]], journals: Path) -> list[Client]:
    """A client of each user, in turn at each instance; all are admitted."""
    addresses = [instance.ws_url for instance in cluster.all("notification")]
    clients = [
        Client(
            {
                "name": user,
                "urls": [addresses[number % len(addresses)]],
                "token": token(user),
                "device_id": new_device_id(),
                "channels": [channel for channel, users in members.items() if user in users],
            },
            journals,
        )
        for number, user in enumerate(f"user-{number}" for number in range(USERS))
    ]
    for start in range(0, USERS, OPEN_AT_ONCE):
        await asyncio.gather(*(client.open() for client in clients[start : start + OPEN_AT_ONCE]))
    assert [client.protocol.ending for client in clients] == [None] * USERS
    assert sum(client.reconnects for client in clients) == 0
    return clients


async def stored_in(cluster: Cluster, channels: dict[str, list[str]]) -> dict[str, list[Position]]:
    """What the store holds, by channel."""
    stored: dict[str, list[Position]] = {channel: [] for channel in channels}
    messages = await SqliteMessages.open(cluster.data / "messages.db")
    try:
        for channel, found in stored.items():
            last: Position | None = None
            while page := (await messages.history(channel, before=last, limit=PAGE)).messages:
                found += [Position(message.seq, message.message_id) for message in page]
                last = found[-1]
    finally:
        await messages.close()
    return stored


async def test_each_client_gets_exactly_the_messages_of_its_channels_once_in_order(
    cluster: Cluster, tmp_path: Path
) -> None:
    await cluster.start_all({"message-writer": 1, "fanout": 2, "notification": 3, "gateway": 2})
    gateways = [gateway.url for gateway in cluster.all("gateway")]
    members = memberships()
    await create_all(gateways, members)
    journals = tmp_path / "received"
    journals.mkdir()
    clients = await listening_clients(cluster, members, journals)
    posted = await post_all(gateways, members)
    assert sum(map(len, posted.values())) == MESSAGES
    expected = sum(len(ids) * len(members[channel]) for channel, ids in posted.items())
    await until(
        lambda: sum(client.received_count for client in clients) >= expected, "everybody to have everything", 60
    )
    await asyncio.sleep(1)  # what should not come has time to come
    assert [client.protocol.ending for client in clients] == [None] * USERS
    assert sum(client.reconnects for client in clients) == 0
    for client in clients:
        client.close()
    await cluster.services["message-writer-1"].stop()
    stored = await stored_in(cluster, posted)
    for channel, ids in posted.items():
        assert sorted(message_id for _, message_id in stored[channel]) == sorted(ids)
    accepted = [f"{seq} {channel} {name}".encode() for channel, found in stored.items() for seq, name in found]
    verdict = check(accepted, ((client.name, (journals / client.name).read_bytes().splitlines()) for client in clients))
    assert verdict.clean, "\n".join(verdict.lines())
    assert (verdict.clients, verdict.received, verdict.expected) == (USERS, expected, expected)
