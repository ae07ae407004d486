"""Clients of an instance that is killed miss nothing."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from fanout.client import AuthOk, CatchupComplete, Disconnected, FullRefreshRequired, MessageNew, ResumePoint
from fanout.ids import new_device_id
from tests.support.clients import Caller
from tests.support.cluster import Cluster, Service
from tests.support.watching import Watcher, watching

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SERVICES = {"gateway": 1, "message-writer": 1, "receipt-writer": 1, "fanout": 1, "notification": 2}
MESSAGES = 60


@pytest.fixture
async def gateway(cluster: Cluster) -> Service:
    """The gateway of a system with two instances."""
    await cluster.start_all(SERVICES)
    return cluster.services["gateway-1"]


@pytest.fixture
async def caller(gateway: Service) -> AsyncIterator[Caller]:
    caller = Caller(gateway.url)
    await caller.create("alice", "general", "bob", "carol")
    await caller.create("alice", "random", "bob")
    yield caller
    await caller.close()


def seqs(watcher: Watcher, channel: str) -> list[int]:
    return [event.seq for event in watcher.of_type(MessageNew) if event.channel_id == channel]


async def test_clients_of_an_instance_that_is_killed_get_every_message_once_and_in_order(
    gateway: Service, caller: Caller, cluster: Cluster
) -> None:
    users = ["alice", "alice", "bob", "bob", "carol", "carol"]
    async with AsyncExitStack() as stack:
        watchers = [await stack.enter_async_context(watching(gateway.url, user)) for user in users]
        for watcher in watchers:
            await watcher.receives(AuthOk)
        texts = [f"message {number}" for number in range(MESSAGES)]
        for number, text in enumerate(texts):
            await caller.say("alice", "random" if number % 3 == 0 else "general", text)
            if number == MESSAGES // 3:
                await cluster.services["notification-1"].kill()
        for watcher, user in zip(watchers, users, strict=True):
            mine = [text for number, text in enumerate(texts) if user != "carol" or number % 3]
            await watcher.until(lambda watcher=watcher, mine=mine: len(watcher.texts()) >= len(mine))  # type: ignore[misc]
            assert sorted(watcher.texts()) == sorted(mine)
            for channel in ("general", "random"):
                assert seqs(watcher, channel) == sorted(seqs(watcher, channel))
            assert watcher.of_type(FullRefreshRequired) == []
        lost = [watcher for watcher in watchers if watcher.of_type(Disconnected)]
        assert 0 < len(lost) < len(watchers)
        for watcher in lost:
            assert (await watcher.receives(CatchupComplete)).tier == 1


async def test_a_program_that_is_started_again_goes_on_where_it_was(gateway: Service, caller: Caller) -> None:
    device_id, got, point = new_device_id(), list[str](), None
    for run in range(3):
        async with watching(gateway.url, "bob", device_id=device_id, resume=point) as watcher:
            await watcher.receives(AuthOk)
            await caller.say("alice", "general", f"{run}, while it runs")
            await watcher.until(lambda run=run, watcher=watcher: watcher.texts()[-1:] == [f"{run}, while it runs"])  # type: ignore[misc]
            got += watcher.texts()
            point = ResumePoint.decode(watcher.client.resume_point.encode()) if watcher.client.resume_point else None
        await caller.say("alice", "general", f"{run}, while it is away")
    assert got == [
        "0, while it runs",
        "0, while it is away",
        "1, while it runs",
        "1, while it is away",
        "2, while it runs",
    ]
