"""Read receipts, from a WebSocket to the stores and the other sockets, as processes."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fanout.ports.receipts import MAX_MEMBERS
from tests.support.clients import Caller, Listener, listening
from tests.support.cluster import Cluster
from tests.support.observing import eventually
from tests.support.servers import NatsServer, RedisServer

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

PATIENCE_S = 90.0
"""Far longer than several processes need on a busy machine; reached only by a test that fails."""
MEMBERS = [f"user-{number:02}" for number in range(MAX_MEMBERS)]
SERVICES = {"message-writer": 1, "receipt-writer": 1, "fanout": 1, "notification": 1, "gateway": 1}


@pytest.fixture
async def cluster(
    tmp_path: Path,
    nats_server: NatsServer,
    redis_server: RedisServer,
    cassandra: str,
    mongo_url: str,
    keyspace_prefix: str,
) -> AsyncIterator[Cluster]:
    settings = {"NATS_URL": nats_server.url, "REDIS_URL": redis_server.url, "MONGO_URL": mongo_url}
    cluster = Cluster(tmp_path, **settings, CASSANDRA_HOSTS=cassandra, PREFIX=keyspace_prefix)
    try:
        await cluster.start_all(SERVICES)
        yield cluster
    finally:
        await cluster.kill()


async def receipts(caller: Caller, user: str, channel: str, message_id: str) -> tuple[int, dict[str, Any]]:
    response = await caller.get(user, "messages.receipts", channel=channel, message_id=message_id)
    return response.status_code, response.json()


async def read(listener: Listener, message_id: str, channel: str = "general") -> None:
    await listener.send("message.read", channel_id=channel, message_id=message_id)


async def test_fifty_members_have_receipts_and_the_fifty_first_ends_them(cluster: Cluster) -> None:
    caller = Caller(*(gateway.url for gateway in cluster.all("gateway")))
    sender, readers = MEMBERS[0], MEMBERS[1:]
    await caller.create(sender, "general", *readers)
    await caller.create("mallory", "elsewhere")
    url = (await caller.get(sender, "realtime.connect")).json()["url"]
    async with AsyncExitStack() as stack:
        sockets = await stack.enter_async_context(listening(url, *MEMBERS, "mallory"))
        old = await caller.say(sender, "general", "old")
        for socket in sockets[: len(MEMBERS)]:
            await socket.receives("message.new")
            await read(socket, old)  # the sender too: its own message, of which there is none
            await read(socket, old)
        for socket in sockets[: len(MEMBERS)]:
            await socket.until(partial(has_readers, socket, old, readers))

        async def all_stored() -> bool:
            status, answer = await receipts(caller, sender, "general", old)
            assert (status, answer["mode"]) == (200, "rows")
            return [each["user_id"] for each in answer["receipts"]] == readers

        await eventually(all_stored, PATIENCE_S)
        response = await caller.post("late", "channels.join", channel="general")
        assert response.status_code == 200
        new = await caller.say(sender, "general", "new")
        await sockets[1].until(lambda: len(sockets[1].texts()) == 2)
        await read(sockets[1], new)

        async def pointer_is_moved() -> bool:
            listed = (await caller.get(readers[0], "channels.list")).json()["channels"]
            return [each["last_read_id"] for each in listed] == [new]

        await eventually(pointer_is_moved, PATIENCE_S)
        assert await receipts(caller, sender, "general", new) == (200, {"receipts": [], "mode": "pointer"})
        status, answer = await receipts(caller, "late", "general", old)
        assert (status, answer["mode"], len(answer["receipts"])) == (200, "rows", len(readers))
        assert not read_by(sockets[0], new)
        await read(sockets[-1], old)
        await sockets[-1].receives("error", code="not_a_member")
        assert not [frame for frame in sockets[-1].frames if frame["type"] == "receipt.read"]
    assert (await receipts(caller, "mallory", "general", old))[0] == 403
    assert (await receipts(caller, "mallory", "elsewhere", old))[0] == 404
    await caller.close()


def has_readers(listener: Listener, message_id: str, readers: list[str]) -> bool:
    return read_by(listener, message_id) == readers


def read_by(listener: Listener, message_id: str) -> list[str]:
    """Who has read a message by the frames of a client, sorted."""
    frames = [frame for frame in listener.frames if frame["type"] == "receipt.read"]
    return sorted({user for frame in frames if frame["message_id"] == message_id for user in frame["read_by"]})
