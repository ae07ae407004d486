"""The message writer and the history with Cassandra, as processes."""

import asyncio
from pathlib import Path

import pytest

from tests.support.clients import Caller
from tests.support.cluster import Cluster
from tests.support.observing import eventually
from tests.support.servers import NatsServer, RedisServer

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

PATIENCE_S = 60.0


@pytest.fixture
def cluster_settings(
    nats_server: NatsServer, redis_server: RedisServer, cassandra: str, keyspace_prefix: str
) -> dict[str, str]:
    return {
        "NATS_URL": nats_server.url,
        "REDIS_URL": redis_server.url,
        "CASSANDRA_HOSTS": cassandra,
        "PREFIX": keyspace_prefix,
    }


async def test_what_is_posted_is_stored_and_read(tmp_path: Path, cluster_settings: dict[str, str]) -> None:
    cluster = Cluster(tmp_path, **cluster_settings)
    try:
        await cluster.start_all({"message-writer": 2, "gateway": 1})
        caller = Caller(*(gateway.url for gateway in cluster.all("gateway")))
        await caller.create("alice", "general", "bob")
        posted = await asyncio.gather(*(caller.say("alice", "general", f"message {number}") for number in range(60)))

        async def stored() -> bool:
            response = await caller.get("bob", "channels.history", channel="general", limit=200)
            assert response.status_code == 200, response.text
            return len(response.json()["messages"]) >= len(posted)

        await eventually(stored, PATIENCE_S)
        seen: list[str] = []
        cursor: str | None = None
        while True:
            query = {"cursor": cursor} if cursor else {}
            page = (await caller.get("bob", "channels.history", channel="general", limit=25, **query)).json()
            seen += [message["message_id"] for message in page["messages"]]
            if (cursor := page.get("cursor")) is None:
                break
        assert sorted(seen) == sorted(posted)
        assert await cluster.services["gateway-1"].is_ready()
        await caller.close()
        await cluster.stop()
    finally:
        await cluster.kill()
