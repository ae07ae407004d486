"""Presence in Redis: the keys, fields and times to live of the contract, section 5."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from fanout.keys import CONNECTION_TTL_S, ENDED_KEPT_S, INSTANCES, LEASE_TTL_S, PRESENCE_CHANGES, Keys
from fanout.ports.presence import DeviceConnection, Lease
from services.adapters.redis.presence import RedisPresence
from tests.support.reading import PATIENCE_S

LAPTOP = "dev_desktop_01HZ0000000000000000000000"
PHONE = "dev_ios_01HZ0000000000000000000000"
CONN = f"conn:alice:{LAPTOP}"
ALICE = "presence:user:alice"
AT_LAPTOP = DeviceConnection(
    "alice", LAPTOP, "notif-1", "2026-02-01T10:30:00.000Z", "idle", "general", "2026-02-01T10:31:00.000Z"
)
AT_PHONE = DeviceConnection("alice", PHONE, "notif-2", "2026-02-01T10:30:00.000Z")


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url, decode_responses=True, protocol=2)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
async def presence(redis: Redis, redis_url: str) -> AsyncIterator[RedisPresence]:
    opened = await RedisPresence.open(redis_url)
    for instance_id in ("notif-1", "notif-2"):
        await opened.lease(_lease(instance_id))
    yield opened
    await opened.close()


def _lease(instance_id: str) -> Lease:
    return Lease(instance_id, "incarnation", "ws://127.0.0.1:8081/ws", "2026-02-01T10:00:00.000Z", 3, 10_000)


async def _fields(redis: Redis, key: str) -> dict[str, str]:
    return {str(name): str(value) for name, value in (await redis.hgetall(key)).items()}


@asynccontextmanager
async def _given(redis: Redis, seconds: int, *keys: str) -> AsyncIterator[None]:
    """In the body each key is given so many seconds to live."""
    began, _ = await redis.time()
    yield
    ended, _ = await redis.time()
    for key in keys:
        assert began + seconds <= await redis.expiretime(key) <= ended + seconds + 1  # it is rounded


async def connected(presence: RedisPresence, connection: DeviceConnection) -> DeviceConnection:
    """Record a connection. Returns it with its number."""
    return replace(connection, order=(await presence.connect(connection)).order)


async def test_a_connection_is_these_keys_and_fields(presence: RedisPresence, redis: Redis) -> None:
    began, _ = await redis.time()
    async with _given(redis, CONNECTION_TTL_S, CONN, "conns:alice", ALICE):
        connected = await presence.connect(AT_LAPTOP)
    assert await _fields(redis, CONN) == {
        "instance_id": "notif-1",
        "connected_at": "2026-02-01T10:30:00.000Z",
        "client_state": "idle",
        "focused_channel": "general",
        "last_activity": "2026-02-01T10:31:00.000Z",
        "incarnation": "",
        "order": str(connected.order),
    }
    assert await redis.smembers("conns:alice") == {LAPTOP}
    user = await _fields(redis, ALICE)
    assert set(user) == {"status", "instance", "last_seen", "on:notif-1"}
    assert (user["status"], user["instance"]) == ("online", "notif-1")
    ended, _ = await redis.time()
    assert began + CONNECTION_TTL_S <= int(user["on:notif-1"]) <= ended + CONNECTION_TTL_S


async def test_renewing_gives_every_key_its_whole_time_again(presence: RedisPresence, redis: Redis) -> None:
    keys = (CONN, "conns:alice", ALICE)
    at_laptop = await connected(presence, AT_LAPTOP)
    for key in keys:
        await redis.expire(key, 5)
    async with _given(redis, CONNECTION_TTL_S, *keys):
        await presence.renew([at_laptop])


async def test_renewing_rewrites_all_that_a_flush_took(presence: RedisPresence, redis: Redis) -> None:
    at_laptop = await connected(presence, AT_LAPTOP)
    keys = sorted(map(str, await redis.keys("*alice*")))
    before = await _fields(redis, CONN)
    await redis.flushall()
    await redis.script_flush()
    await presence.lease(_lease("notif-1"))
    await presence.renew([at_laptop])
    assert sorted(map(str, await redis.keys("*alice*"))) == keys
    assert await _fields(redis, CONN) == before
    assert (await _fields(redis, ALICE))["status"] == "online"
    assert (await _fields(redis, ALICE))["instance"] == "notif-1"
    assert await presence.locations_of("alice") == {"notif-1"}


async def test_the_latest_instance_is_named_and_renewing_an_older_one_does_not_change_it(
    presence: RedisPresence, redis: Redis
) -> None:
    at_laptop = await connected(presence, AT_LAPTOP)
    await presence.connect(AT_PHONE)
    await presence.renew([at_laptop])
    user = await _fields(redis, ALICE)
    assert user["instance"] == "notif-2"
    assert {"on:notif-1", "on:notif-2"} < set(user)


async def test_the_user_is_offline_when_the_last_connection_went(presence: RedisPresence, redis: Redis) -> None:
    at_laptop = await connected(presence, AT_LAPTOP)
    await redis.hset(ALICE, "last_seen", "long ago")
    await presence.disconnect(at_laptop, last=True)
    user = await _fields(redis, ALICE)
    assert set(user) == {"status", "instance", "last_seen"}
    assert user["status"] == "offline"
    assert user["last_seen"] != "long ago"
    assert await redis.ttl(ALICE) == -1
    assert await redis.exists(CONN, "conns:alice") == 0
    assert (await redis.get(f"conn-ended:alice:{LAPTOP}"), await redis.ttl(f"conn-ended:alice:{LAPTOP}")) == (
        str(at_laptop.order),
        ENDED_KEPT_S,
    )


async def test_the_user_is_online_while_another_instance_holds_one(presence: RedisPresence, redis: Redis) -> None:
    await presence.connect(AT_PHONE)
    await presence.connect(AT_LAPTOP)
    async with _given(redis, CONNECTION_TTL_S, ALICE):
        await presence.disconnect(AT_LAPTOP, last=True)
    user = await _fields(redis, ALICE)
    assert (user["status"], user["instance"]) == ("online", "notif-2")
    assert "on:notif-1" not in user


async def test_an_instance_that_died_does_not_keep_the_user_online(presence: RedisPresence, redis: Redis) -> None:
    await presence.connect(AT_PHONE)
    await presence.connect(AT_LAPTOP)
    await redis.delete("instance:notif-2")
    await presence.disconnect(AT_LAPTOP, last=True)
    assert (await _fields(redis, ALICE))["status"] == "offline"


async def test_coming_back_makes_an_offline_user_expire_again(presence: RedisPresence, redis: Redis) -> None:
    await presence.connect(AT_LAPTOP)
    await presence.disconnect(AT_LAPTOP, last=True)
    async with _given(redis, CONNECTION_TTL_S, ALICE):
        await presence.connect(AT_PHONE)
    user = await _fields(redis, ALICE)
    assert (user["status"], user["instance"]) == ("online", "notif-2")


async def test_devices_whose_connection_expired_do_not_pile_up(presence: RedisPresence, redis: Redis) -> None:
    await presence.connect(AT_PHONE)
    await redis.delete(f"conn:alice:{PHONE}")
    assert await presence.connections_of("alice") == []
    await presence.connect(AT_LAPTOP)
    assert await redis.smembers("conns:alice") == {LAPTOP}


async def test_instances_that_crashed_do_not_pile_up(presence: RedisPresence, redis: Redis) -> None:
    await presence.connect(AT_PHONE)
    await redis.hset(ALICE, mapping={"on:crashed": 1, "on:foreign": "x"})
    await presence.connect(AT_LAPTOP)
    user = await _fields(redis, ALICE)
    assert set(user) == {"status", "instance", "last_seen", "on:notif-1", "on:notif-2"}


async def test_a_lease_is_this_hash(presence: RedisPresence, redis: Redis) -> None:
    async with _given(redis, LEASE_TTL_S, "instance:notif-1"):
        await presence.lease(_lease("notif-1"))
    assert await _fields(redis, "instance:notif-1") == {
        "started_at": "2026-02-01T10:00:00.000Z",
        "address": "ws://127.0.0.1:8081/ws",
        "incarnation": "incarnation",
        "connections": "3",
        "capacity": "10000",
    }
    assert await redis.smembers(INSTANCES) == {"notif-1", "notif-2"}


async def test_ids_of_ended_leases_do_not_pile_up(presence: RedisPresence, redis: Redis) -> None:
    await redis.delete("instance:notif-1")
    assert set(await presence.leases()) == {"notif-2"}
    assert await redis.smembers(INSTANCES) == {"notif-2"}
    await presence.release("notif-2")
    assert await redis.exists(INSTANCES, "instance:notif-2") == 0


@pytest.mark.parametrize("prefix", ["", "blue"])
async def test_who_comes_to_an_instance_and_leaves_it_is_published(redis: Redis, redis_url: str, prefix: str) -> None:
    presence = await RedisPresence.open(redis_url, prefix=prefix)
    tablet = replace(AT_LAPTOP, device_id=f"{AT_LAPTOP.device_id[:-1]}1")
    channel = Keys(prefix).named(PRESENCE_CHANGES)
    async with redis.pubsub() as pubsub:
        await pubsub.psubscribe("*")
        await pubsub.get_message(timeout=PATIENCE_S)
        await presence.connect(AT_LAPTOP)
        await presence.connect(tablet)
        await presence.renew([AT_LAPTOP, tablet])
        await presence.disconnect(AT_LAPTOP, last=False)
        await presence.disconnect(tablet, last=True)
        await presence.connect(replace(AT_LAPTOP, user_id="bob"))
        notices = [await pubsub.get_message(timeout=PATIENCE_S) for _ in range(3)]
    await presence.close()
    assert [(notice["channel"], notice["data"]) for notice in notices] == [
        (channel, "alice:online:notif-1"),
        (channel, "alice:offline:notif-1"),
        (channel, "bob:online:notif-1"),
    ]


async def test_who_comes_after_the_record_of_a_crash_ended_is_published_again(
    presence: RedisPresence, redis: Redis
) -> None:
    await presence.connect(AT_LAPTOP)
    await redis.hset("presence:user:alice", "on:notif-1", "1")
    async with redis.pubsub() as pubsub:
        await pubsub.subscribe(PRESENCE_CHANGES)
        await pubsub.get_message(timeout=PATIENCE_S)
        await presence.connect(AT_LAPTOP)
        notice = await pubsub.get_message(timeout=PATIENCE_S)
    assert notice["data"] == "alice:online:notif-1"


async def test_the_keyspace_is_never_walked(presence: RedisPresence, redis: Redis) -> None:
    await redis.config_resetstat()
    await presence.connect(AT_LAPTOP)
    await presence.renew([AT_LAPTOP, AT_PHONE])
    await presence.connections_of("alice")
    await presence.locations_of("alice")
    await presence.leases()
    await presence.disconnect(replace(AT_LAPTOP), last=True)
    used = {name.removeprefix("cmdstat_") for name in await redis.info("commandstats")}
    assert {"evalsha", "hset", "smembers"} <= used
    assert not used & {"keys", "scan"}


async def test_closing_ends_every_connection(redis: Redis, redis_url: str) -> None:
    presence = await RedisPresence.open(redis_url)
    await presence.connect(AT_LAPTOP)
    await presence.close()
    async with asyncio.timeout(PATIENCE_S):
        while len(await redis.client_list()) > 1:  # noqa: ASYNC110 - the server gives no notice of it
            await asyncio.sleep(0.01)
