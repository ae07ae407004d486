"""Deployments and other programs on one Redis: kept apart, or refused with the remedy."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from fanout.errors import ForeignStore, InvalidId, Unavailable
from fanout.keys import Keys
from fanout.ports.presence import DeviceConnection, Lease
from services.adapters.redis.presence import RedisPresence

DEVICE = "dev_desktop_01HZ0000000000000000000000"
CONNECTION = DeviceConnection("alice", DEVICE, "notif-1", "2026-02-01T10:30:00.000Z")
LEASE = Lease("notif-1", "incarnation", "ws://127.0.0.1:8081/ws", "2026-02-01T10:00:00.000Z", 3, 10)
OURS, THEIRS = "dep_ours", "dep_theirs"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url, decode_responses=True, protocol=2)
    await client.flushdb()
    yield client
    await client.config_set("maxmemory-policy", "noeviction")
    await client.flushdb()
    await client.aclose()


@asynccontextmanager
async def opened(url: str, *, prefix: str = "", deployment: str = "") -> AsyncIterator[RedisPresence]:
    presence = await RedisPresence.open(url, prefix=prefix, deployment=deployment)
    try:
        yield presence
    finally:
        await presence.close()


async def _use(presence: RedisPresence) -> None:
    """Every call that writes a key."""
    await presence.lease(LEASE)
    await presence.connect(CONNECTION)
    await presence.renew([CONNECTION])
    await presence.disconnect(CONNECTION, last=True)
    await presence.connect(CONNECTION)


async def _keys(redis: Redis) -> list[str]:
    return sorted(map(str, await redis.keys("*")))


async def test_with_a_prefix_every_key_begins_with_it(redis: Redis, redis_url: str) -> None:
    async with opened(redis_url, prefix="blue", deployment=OURS) as presence:
        await _use(presence)
    names = await _keys(redis)
    assert all(name.startswith("blue:") for name in names), names
    assert {name.removeprefix("blue:") for name in names} == {
        "deployment",
        "instances",
        "instance:notif-1",
        f"conn:alice:{DEVICE}",
        "conns:alice",
        "presence:user:alice",
        "presence:alice",
        f"conn-ended:alice:{DEVICE}",
        "presence-due",
        "presence-untold",
        "presence-recent",
        "presence-holders",
        "presence-users:notif-1:",
        "leases-renewed",
        "leases-doubted",
    }


async def test_two_prefixes_see_nothing_of_each_other(redis: Redis, redis_url: str) -> None:
    async with (
        opened(redis_url, prefix="blue", deployment=OURS) as blue,
        opened(redis_url, prefix="green", deployment=THEIRS) as green,
        opened(redis_url) as plain,
    ):
        await _use(blue)
        for other in (green, plain):
            assert await other.leases() == {}
            assert await other.connections_of("alice") == []
            assert await other.locations_of("alice") == frozenset()
        assert await blue.leases() == {"notif-1": LEASE}
        assert await blue.locations_of("alice") == {"notif-1"}


async def test_with_a_prefix_what_ended_goes_too(redis: Redis, redis_url: str) -> None:
    async with opened(redis_url, prefix="blue") as presence:
        await _use(presence)
        await redis.sadd("blue:conns:alice", "dev_ios_01HZ0000000000000000000000")
        await presence.connect(CONNECTION)
        assert await redis.smembers("blue:conns:alice") == {DEVICE}
        await redis.delete("blue:instance:notif-1")
        assert await presence.leases() == {}
        assert await redis.exists("blue:instances") == 0


@pytest.mark.parametrize("prefix", ["Blue", "a:b", "x" * 17, "é", " "])
async def test_a_prefix_of_another_form_is_an_error(redis_url: str, prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        Keys(prefix)
    with pytest.raises(ValueError, match="prefix"):
        await RedisPresence.open(redis_url, prefix=prefix)


async def test_an_id_that_no_script_may_contain_is_an_error(redis_url: str) -> None:
    with pytest.raises(InvalidId):
        await RedisPresence.open(redis_url, deployment="dep'..os.exit()..'")


async def test_an_empty_store_becomes_the_deployments(redis: Redis, redis_url: str) -> None:
    await redis.set("session:alice", "of another program")
    await redis.set("conn:pool:3", "of another program")
    for _ in range(2):
        async with opened(redis_url, deployment=OURS):
            assert await redis.get("deployment") == OURS


async def test_the_store_of_another_deployment_is_refused_naming_both(redis: Redis, redis_url: str) -> None:
    async with opened(redis_url, deployment=THEIRS):
        with pytest.raises(ForeignStore) as refused:
            await RedisPresence.open(redis_url, deployment=OURS)
        with pytest.raises(ForeignStore):
            await RedisPresence.adopt(redis_url, deployment=OURS)
    assert all(word in str(refused.value) for word in (OURS, THEIRS, "FANOUT_PREFIX", "another database"))
    assert await redis.get("deployment") == THEIRS


async def _instances(redis: Redis) -> None:
    await redis.sadd("instances", "notif-1")


async def _offline(redis: Redis) -> None:
    await redis.hset("presence:user:alice", "status", "offline")


@pytest.mark.parametrize("fill", [_instances, _offline])
async def test_a_store_with_keys_and_no_id_is_refused_until_it_is_adopted(
    redis: Redis, redis_url: str, fill: Callable[[Redis], AsyncIterator[None]]
) -> None:
    await fill(redis)  # type: ignore[misc]
    with pytest.raises(ForeignStore, match="fanout migrate --adopt"):
        await RedisPresence.open(redis_url, deployment=OURS)
    assert await redis.get("deployment") is None
    await RedisPresence.adopt(redis_url, deployment=OURS)
    async with opened(redis_url, deployment=OURS):
        assert await redis.get("deployment") == OURS


async def test_a_store_that_is_flushed_while_we_run_stays_ours(redis: Redis, redis_url: str) -> None:
    async with opened(redis_url, deployment=OURS) as presence:
        for with_lease in (True, False):
            await redis.flushall()
            assert await presence.leases() == {}
            await (presence.lease(LEASE) if with_lease else presence.renew([CONNECTION]))
            assert await redis.get("deployment") == OURS
        async with opened(redis_url, deployment=OURS):
            pass


async def test_when_another_deployment_takes_the_store_nothing_is_written_there(redis: Redis, redis_url: str) -> None:
    async with opened(redis_url, deployment=OURS) as presence:
        await _use(presence)
        await redis.flushall()
        await redis.set("deployment", THEIRS)
        calls = [
            presence.connect(CONNECTION),
            presence.renew([CONNECTION]),
            presence.disconnect(CONNECTION, last=True),
            presence.lease(LEASE),
            presence.release("notif-1"),
            presence.leases(),
            presence.locations_of("alice"),
        ]
        results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        assert isinstance(result, ForeignStore)
        assert isinstance(result, Unavailable), "who is connected is served on, as while Redis is away"
        assert OURS in str(result)
        assert THEIRS in str(result)
    assert await _keys(redis) == ["deployment"]


@pytest.mark.parametrize("deployment", ["", OURS])
@pytest.mark.parametrize("key", ["instances", "deployment"])
async def test_a_key_of_another_program_by_our_name_is_named_at_the_start(
    redis: Redis, redis_url: str, key: str, deployment: str
) -> None:
    await redis.rpush(key, "web-1")
    with pytest.raises(ForeignStore) as refused:
        await RedisPresence.open(redis_url, deployment=deployment)
    assert f"the key {key} in Redis is a list" in str(refused.value)
    assert "FANOUT_PREFIX" in str(refused.value)


@pytest.mark.parametrize("key", [f"conn:alice:{DEVICE}", "conns:alice", "presence:user:alice"])
async def test_a_key_of_another_program_for_a_user_is_named_and_others_go_on(
    redis: Redis, redis_url: str, key: str
) -> None:
    bob = DeviceConnection("bob", DEVICE, "notif-1", "2026-02-01T10:30:00.000Z")
    async with opened(redis_url) as presence:
        await redis.rpush(key, "of another program")
        for call in (presence.connect(CONNECTION), presence.renew([CONNECTION, bob])):
            with pytest.raises(Unavailable, match=f"the key {key} in Redis is a list"):
                await call
        assert [held.user_id for held in await presence.connections_of("bob")] == ["bob"]


async def test_what_stands_under_a_leases_name_and_is_none_is_passed_over(redis: Redis, redis_url: str) -> None:
    async with opened(redis_url) as presence:
        await presence.lease(LEASE)
        await presence.lease(replace(LEASE, instance_id="notif-2"))
        await redis.sadd("instances", "a b", "web-1", "web-2")
        await redis.set("instance:web-1", "of another program")
        await redis.hset("instance:a b", "connections", "1")
        await redis.hset("instance:web-2", "connections", "1")
        await redis.hset("instance:notif-2", mapping={"connections": "many", "capacity": "9" * 5_000})
        with capture_logs() as logs:
            for _ in range(2):
                leases = await presence.leases()
    assert leases == {
        "notif-1": LEASE,
        "notif-2": replace(LEASE, instance_id="notif-2", connections=0, capacity=0),
    }
    assert len([entry for entry in logs if entry["log_level"] == "warning"]) == 2, "each is said once"


async def test_a_process_may_start_while_the_store_takes_no_writes(redis: Redis, redis_url: str) -> None:
    async with opened(redis_url, deployment=OURS) as presence:
        await presence.lease(LEASE)
    await redis.config_set("maxmemory", 1)
    try:
        async with opened(redis_url, deployment=OURS) as presence:
            assert await presence.leases() == {"notif-1": LEASE}
    finally:
        await redis.config_set("maxmemory", 0)


async def test_who_goes_frees_memory_while_the_store_is_full(redis: Redis, redis_url: str) -> None:
    async with opened(redis_url, deployment=OURS) as presence:
        await presence.lease(LEASE)
        await presence.connect(CONNECTION)
        await redis.config_set("maxmemory", 1)
        try:
            await presence.disconnect(CONNECTION, last=True)
            await presence.release("notif-1")
            assert await presence.connections_of("alice") == []
            assert await presence.leases() == {}
        finally:
            await redis.config_set("maxmemory", 0)


async def test_a_server_that_evicts_is_warned_of(redis: Redis, redis_url: str) -> None:
    async with opened(redis_url) as presence:
        assert await presence.warnings() == []
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    with capture_logs() as logs:
        async with opened(redis_url) as presence:
            [line] = await presence.warnings()
    assert "allkeys-lru" in line
    assert "set maxmemory-policy noeviction" in line
    assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == [line]
