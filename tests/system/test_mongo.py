"""A small system whose memberships are in MongoDB, through an outage of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.clients import Caller, listening
from tests.support.cluster import Cluster
from tests.support.observing import eventually
from tests.support.servers import MongoServer, NatsServer

pytestmark = pytest.mark.system


@pytest.fixture
async def cluster(
    tmp_path: Path, nats_server: NatsServer, redis_url: str, mongo_server: MongoServer
) -> AsyncIterator[Cluster]:
    cluster = Cluster(tmp_path, NATS_URL=nats_server.url, REDIS_URL=redis_url, MONGO_URL=mongo_server.url)
    await cluster.start_all({"message-writer": 1, "fanout": 1, "notification": 1, "gateway": 1})
    yield cluster
    await cluster.kill()


async def test_members_get_messages_before_and_after_an_outage_of_the_store(
    cluster: Cluster, mongo_server: MongoServer
) -> None:
    caller = Caller(cluster.services["gateway-1"].url)
    await caller.create("alice", "general", "bob")
    async with listening(cluster.services["notification-1"].ws_url, "alice", "bob", "carol") as [alice, bob, carol]:
        await caller.say("alice", "general", "to two")
        await bob.receives("message.new")
        assert (await caller.post("carol", "channels.join", channel="general")).status_code == 200
        await alice.receives("member.joined", user_id="carol")
        await caller.say("alice", "general", "to three")
        await carol.receives("message.new")
        mongo_server.kill()
        refused = await caller.post("bob", "channels.leave", channel="general")
        assert (refused.status_code, refused.json()["code"]) in {(503, "unavailable"), (503, "outcome_unknown")}
        mongo_server.start()

        async def bob_has_left() -> bool:
            return (await caller.post("bob", "channels.leave", channel="general")).status_code == 200

        await eventually(bob_has_left, 30)
        await alice.receives("member.left", user_id="bob")
        await caller.say("carol", "general", "to two again")
        await alice.until(lambda: alice.texts() == ["to two", "to three", "to two again"])
    assert bob.texts() == ["to two", "to three"]
    await caller.close()
