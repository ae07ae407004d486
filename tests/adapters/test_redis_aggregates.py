"""The users' presence in Redis: the keys and fields of the contract, section 5, and what each call costs."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from fanout.events import timestamp
from fanout.ports.presence import UserPresence
from services.adapters.redis.aggregate_scripts import CLOCK
from services.adapters.redis.aggregates import user_presence
from services.adapters.redis.presence import RedisPresence
from tests.support.presence_worlds import AT_LAPTOP, AT_PHONE, lease_of

ALICE = "presence:alice"
ACTIVE = replace(AT_LAPTOP, client_state="active")


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
        await opened.lease(lease_of(instance_id))
    yield opened
    await opened.close()


async def test_the_presence_of_a_user_is_this_hash(presence: RedisPresence, redis: Redis) -> None:
    connected = await presence.connect(ACTIVE)
    changed = await presence.set_status("alice", "In a meeting", ":calendar:")
    fields = await redis.hgetall(ALICE)
    assert connected.change is not None
    assert changed.version > connected.change.version
    assert fields == {
        "status": "online",
        "version": str(changed.version),
        "last_active": changed.last_active,
        "status_text": "In a meeting",
        "status_emoji": ":calendar:",
        "active_device_count": "1",
    }
    assert await redis.ttl(ALICE) == -1


async def test_versions_and_times_come_from_the_clock_of_the_server(presence: RedisPresence, redis: Redis) -> None:
    def rounded(time: tuple[int, int]) -> str:
        return timestamp(datetime.fromtimestamp(time[0], UTC).replace(microsecond=time[1] // 1000 * 1000))

    began = await redis.time()
    connected = await presence.connect(ACTIVE)
    ended = await redis.time()
    assert connected.change is not None
    for number in (connected.order, connected.change.version):
        assert began[0] * 10**6 + began[1] <= number <= ended[0] * 10**6 + ended[1]
    assert rounded(began) <= str(await redis.hget(ALICE, "last_active")) <= rounded(ended)


@pytest.mark.parametrize("moment", ["1970-01-01T00:00:00.000Z", "2000-02-29T23:59:59.999Z", "2026-12-31T12:00:00.007Z"])
async def test_times_are_written_as_on_the_wire(redis: Redis, moment: str) -> None:
    ms = round(datetime.fromisoformat(moment).timestamp() * 1000)
    script = CLOCK.replace("local ms = now_ms()", f"local ms = {ms}") + "return now_text()"
    assert await redis.eval(script, 0) == moment


async def test_versions_rise_where_the_clock_of_the_server_went_back(presence: RedisPresence, redis: Redis) -> None:
    at_laptop = replace(AT_LAPTOP, order=(await presence.connect(AT_LAPTOP)).order)
    await redis.hset(ALICE, "version", str(4 * 10**15))
    await redis.hset(f"conn:alice:{AT_LAPTOP.device_id}", "order", str(4 * 10**15))
    change = await presence.disconnect(replace(at_laptop, order=4 * 10**15), last=True)
    assert change is not None
    assert change.version == 4 * 10**15 + 1
    await redis.hset(f"conn:alice:{AT_LAPTOP.device_id}", "order", str(4 * 10**15))
    assert (await presence.connect(AT_LAPTOP)).order == 4 * 10**15 + 1


async def test_devices_that_ended_do_not_pile_up(presence: RedisPresence, redis: Redis) -> None:
    await presence.connect(AT_PHONE)
    await presence.connect(AT_LAPTOP)
    await redis.delete(f"conn:alice:{AT_PHONE.device_id}")
    assert (await presence.presences_of(["alice"]))["alice"].active_device_count == 1
    assert await redis.smembers("conns:alice") == {AT_LAPTOP.device_id}


async def test_users_of_instances_that_died_do_not_pile_up(presence: RedisPresence, redis: Redis) -> None:
    await redis.delete("leases-doubted")
    await presence.connect(AT_LAPTOP)
    await presence.connect(AT_PHONE)
    assert await redis.smembers("presence-holders") == {"notif-1:", "notif-2:"}
    await redis.delete("instance:notif-1", "instance:notif-2")
    await presence.sweep(10)
    assert await redis.keys("presence-[hu]*") == ["presence-untold"]


async def test_users_who_left_are_in_no_set(presence: RedisPresence, redis: Redis) -> None:
    order = (await presence.connect(AT_LAPTOP)).order
    assert await redis.zscore("presence-due", "alice") is not None
    change = await presence.disconnect(replace(AT_LAPTOP, order=order), last=True)
    assert change is not None
    await presence.told([change])
    assert await redis.exists("presence-due", "presence-users:notif-1:", "presence-untold") == 0


async def test_every_call_is_one_command(presence: RedisPresence, redis: Redis) -> None:
    order = (await presence.connect(AT_LAPTOP)).order
    at_laptop = replace(AT_LAPTOP, order=order)
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "connect": lambda: presence.connect(AT_PHONE),
        "renew": lambda: presence.renew([at_laptop]),
        "presences_of": lambda: presence.presences_of(["alice", "bob"]),
        "set_status": lambda: presence.set_status("alice", "x", ""),
        "sweep": lambda: presence.sweep(10),
        "untold": lambda: presence.untold(10),
        "changed_within": lambda: presence.changed_within(10),
        "disconnect": lambda: presence.disconnect(at_laptop, last=True),
    }
    for call in calls.values():
        await call()  # the server learns the script
    costs = {}
    for name, call in calls.items():
        before = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
        await call()
        costs[name] = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"] - before
    assert costs == dict.fromkeys(calls, 1)


async def test_the_keyspace_is_never_walked(presence: RedisPresence, redis: Redis) -> None:
    await redis.config_resetstat()
    await presence.connect(AT_LAPTOP)
    await presence.presences_of(["alice"])
    await presence.set_status("alice", "x", "")
    await presence.sweep(10)
    await presence.untold(10)
    await presence.told([UserPresence("alice")])
    await presence.changed_within(10)
    used = {name.removeprefix("cmdstat_") for name in await redis.info("commandstats")}
    assert not used & {"keys", "scan"}


def test_a_hash_that_another_program_has_changed_is_read_as_far_as_it_can_be() -> None:
    fields = ["alice", "asleep", "newest", None, None, None, "many"]
    assert user_presence(fields) == UserPresence("alice")
