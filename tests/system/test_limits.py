"""A nats-server whose limits are lower than usual: everything that it can carry arrives, and the rest is refused."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.clients import Caller, listening
from tests.support.cluster import Cluster
from tests.support.observing import eventually
from tests.support.servers import ConfiguredNats, RedisServer

pytestmark = pytest.mark.system


@pytest.fixture
async def cluster(tmp_path: Path, small_nats: ConfiguredNats, redis_server: RedisServer) -> AsyncIterator[Cluster]:
    cluster = Cluster(tmp_path, NATS_URL=small_nats.url, REDIS_URL=redis_server.url)
    try:
        yield cluster
    finally:
        await cluster.kill()


async def test_a_worker_that_finds_more_than_one_message_carries_delivers_it_all(
    cluster: Cluster, small_nats: ConfiguredNats
) -> None:
    await cluster.start_all({"message-writer": 1, "fanout": 1, "notification": 1, "gateway": 1})
    caller = Caller(cluster.services["gateway-1"].url)
    await caller.create("alice", "general", "bob")
    async with listening(cluster.services["notification-1"].ws_url, "bob") as [bob]:
        assert await cluster.services["fanout-1"].stop() == 0
        texts = [f"{number} {'x' * 9_000}" for number in range(60)]
        for text in texts:
            await caller.say("alice", "general", text)
        refused = await caller.post("alice", "chat.sendMessage", channel="general", text="\N{GRINNING FACE}" * 20_000)
        assert (refused.status_code, refused.json()["code"]) == (413, "message_too_large")
        long = "y" * 40_000
        await caller.say("alice", "general", long)
        worker = await cluster.start("fanout-2", "serve", "fanout")
        await bob.until(lambda: bob.texts() == [*texts, long])
        small_nats.config = "max_payload: 32KB\n"
        await asyncio.to_thread(small_nats.restart)
        await worker.wait_for_log("nats.reconnected")
        await until_said(caller, "after the limit fell")
        await bob.until(lambda: bob.texts()[-1] == "after the limit fell")
        assert all(service.running for name, service in cluster.services.items() if name != "fanout-1")
    await caller.close()


async def until_said(caller: Caller, text: str) -> None:
    """Post it, with one id, until the log answers again."""

    async def said() -> bool:
        body = {"channel": "general", "text": text, "client_msg_id": "once"}
        return (await caller.post("alice", "chat.sendMessage", **body)).status_code == 202

    await eventually(said, 30)
