"""Redis refuses every write while it is full: who is connected gets everything, and who died is found out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from redis.asyncio import Redis

from tests.support.clients import Caller, Listener, open_listener
from tests.support.cluster import Cluster, Service
from tests.support.observing import eventually, metric
from tests.support.servers import RedisServer

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

PATIENCE_S = 60.0
POST_EVERY_S = 0.1
A_WHILE_S = 3.0
"""With leases alone as the sign of life, an instance without one is evicted within half a second."""


class Posting:
    """Somebody who posts all the while."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._stopping = asyncio.Event()
        self.accepted: list[str] = []

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        self._stopping.clear()
        posting = asyncio.create_task(self._post())
        try:
            yield
        finally:
            self._stopping.set()
            await posting

    async def _post(self) -> None:
        while not self._stopping.is_set():
            text = f"message {len(self.accepted)}"
            await self._caller.say("alice", "general", text)
            self.accepted.append(text)
            await asyncio.sleep(POST_EVERY_S)


@asynccontextmanager
async def full(redis_server: RedisServer) -> AsyncIterator[None]:
    async with Redis.from_url(redis_server.url) as redis:
        await redis.config_set("maxmemory", 1)
        try:
            yield
        finally:
            await redis.config_set("maxmemory", 0)


async def _sum(services: list[Service], name: str) -> float:
    return sum([await metric(service.url, name) for service in services])


async def _lease_check(instance: Service) -> str:
    async with httpx.AsyncClient() as http:
        return str((await http.get(f"{instance.url}/readyz")).json()["checks"]["lease"])


async def _has_all(listener: Listener, accepted: list[str]) -> None:
    await listener.until(lambda: listener.texts()[-1:] == accepted[-1:], PATIENCE_S)
    assert listener.texts() == accepted
    assert listener.close_code is None


async def test_nothing_is_lost_and_only_the_dead_are_evicted_while_redis_is_full(
    cluster: Cluster, redis_server: RedisServer
) -> None:
    await cluster.start_all({"message-writer": 1, "fanout": 2, "notification": 2, "gateway": 1})
    caller = Caller(cluster.services["gateway-1"].url)
    await caller.create("alice", "general", "bob", "carol")
    stays, dies = cluster.all("notification")
    workers = cluster.all("fanout")
    bob, carol = await open_listener(stays.ws_url, "bob"), await open_listener(dies.ws_url, "carol")

    async def nobody_has_a_lease() -> bool:
        return await _sum(workers, "fanout_instances_without_lease") == 2 * len(workers)

    async def the_dead_one_is_evicted() -> bool:
        return await _sum(workers, "fanout_instances_evicted_total") == len(workers)

    async def the_lease_is_back() -> bool:
        return await _lease_check(stays) == "ok"

    posting = Posting(caller)
    async with full(redis_server):
        async with posting.going_on():
            await eventually(nobody_has_a_lease, PATIENCE_S)
            await asyncio.sleep(A_WHILE_S)
        for listener in (bob, carol):
            await _has_all(listener, posting.accepted)
        assert await _sum(workers, "fanout_instances_evicted_total") == 0
        assert await metric(stays.url, "fanout_lease_held") == 0
        assert await _lease_check(stays) != "ok"
        await dies.kill()
        async with posting.going_on():
            await eventually(the_dead_one_is_evicted, PATIENCE_S)
        await _has_all(bob, posting.accepted)
        newcomer = await cluster.start("fanout-3", "serve", "fanout")
        async with posting.going_on():
            for worker in workers:
                assert await worker.stop() == 0
            await asyncio.sleep(2)
        await _has_all(bob, posting.accepted)
        assert await metric(newcomer.url, "fanout_instances_evicted_total") == 0
    await eventually(the_lease_is_back, PATIENCE_S)
    again = await open_listener(stays.ws_url, "carol")
    await caller.say("alice", "general", "there is room again")
    for listener in (bob, again):
        await listener.until(lambda who=listener: who.texts()[-1:] == ["there is room again"])  # type: ignore[misc]
        await listener.close()
    await caller.close()


async def test_an_instance_that_waits_for_room_is_alive_and_says_that_it_is_starting(
    cluster: Cluster, redis_server: RedisServer
) -> None:
    first = await cluster.start("notification-1", "serve", "notification")
    assert await first.stop() == 0
    async with full(redis_server), httpx.AsyncClient() as http:
        starting = asyncio.create_task(cluster.start("notification-2", "serve", "notification"))
        await eventually(lambda: _serves_health(cluster, "notification-2"), PATIENCE_S)
        url = cluster.services["notification-2"].url
        assert (await http.get(f"{url}/healthz")).status_code == 200
        report = await http.get(f"{url}/readyz")
        assert (report.status_code, report.json()["checks"]["process"]) == (503, "starting")
        assert not starting.done()
    assert await (await starting).is_ready()


async def _serves_health(cluster: Cluster, name: str) -> bool:
    return name in cluster.services and bool(cluster.services[name].url)
