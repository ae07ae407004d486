"""Unread counts in Redis: the keys and fields of the contract, section 5."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from fanout.errors import ForeignStore, Unavailable
from fanout.ports.unread import CountedMessage, ReadPosition
from services.adapters.redis import unread as unread_module
from services.adapters.redis.unread import RedisUnread
from services.adapters.redis.unread_scripts import LEFT_KEPT_S


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url, decode_responses=True, protocol=2)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
async def counts(redis: Redis, redis_url: str) -> AsyncIterator[RedisUnread]:
    opened = await RedisUnread.open(redis_url, deployment="dep_test")
    yield opened
    await opened.close()


def said(seq: int, *mentions: str) -> CountedMessage:
    return CountedMessage(seq, "c", f"msg_{seq}", "bob", mentions, stored_ns=1_900_000_000_000_000_000 + seq)


async def test_counts_and_pointers_are_these_keys_and_fields(counts: RedisUnread, redis: Redis) -> None:
    far = 9_007_199_254_740_000
    await counts.count([said(far), said(far + 1, "alice")], after=0)
    await counts.joined("alice", "c", 1_790_000_000_000_000, ReadPosition())
    await counts.mark_read("alice", "c", ReadPosition(far, 1, 0, f"msg_{far}", "2026-02-01T10:00:00.000Z"))
    assert await redis.hgetall("unread-place") == {"seq": str(far + 1), "stored_ns": "1909007199254740001"}
    assert await redis.hgetall("channel-latest:c") == {
        "message_id": f"msg_{far + 1}",
        "seq": str(far + 1),
        "count": "2",
        "counted_seq": str(far + 1),
    }
    assert await redis.hgetall("read-pointer:alice:c") == {
        "version": "1790000000000000",
        "last_read_id": f"msg_{far}",
        "last_read_at": "2026-02-01T10:00:00.000Z",
        "seq": str(far),
        "count": "1",
        "own_read": "0",
        "mentions": "1",
    }
    assert await redis.hgetall("read-pointer:bob:c") == {"own": "2"}
    assert await redis.zrange("mentions:alice:c", 0, -1) == [str(far + 1)]
    ttls = {key: await redis.ttl(key) async for key in redis.scan_iter()}
    assert {key for key, ttl in ttls.items() if ttl != -1} == {"changed:alice"}


async def test_what_remains_of_a_member_who_left_goes_after_a_day(counts: RedisUnread, redis: Redis) -> None:
    await counts.count([said(1, "alice")], after=0)
    await counts.left("alice", "c", 5)
    assert await redis.hgetall("read-pointer:alice:c") == {"version": "5", "left": "1"}
    assert 0 < await redis.ttl("read-pointer:alice:c") <= LEFT_KEPT_S
    assert not await redis.exists("mentions:alice:c")
    await counts.joined("alice", "c", 6, ReadPosition(1, 1))
    assert await redis.ttl("read-pointer:alice:c") == -1


async def test_a_long_batch_is_counted_in_parts_that_follow_each_other(
    counts: RedisUnread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unread_module, "COUNTED_AT_ONCE", 3)
    assert await counts.count([said(seq, "alice", "carl") for seq in range(1, 20)], after=0) == 19
    assert (await counts.unread("alice", ["c"]))["c"] == (19, 19)


async def test_commands_do_not_grow_with_the_members_of_a_channel(counts: RedisUnread, redis: Redis) -> None:
    for user in range(600):
        await redis.hset(f"read-pointer:u{user}:c", mapping={"version": 1})
    await counts.count([said(1)], after=0)
    await redis.config_resetstat()
    await counts.count([said(2), said(3)], after=1)
    calls = {name: stat["calls"] for name, stat in (await redis.info("commandstats")).items()}
    assert calls["cmdstat_evalsha"] == 1
    assert sum(calls.values()) < 20
    assert (await counts.unread("u599", ["c"]))["c"] == (3, 0)


async def test_scripts_that_the_server_has_forgotten_are_sent_again(counts: RedisUnread, redis: Redis) -> None:
    await counts.count([said(1)], after=0)
    await redis.script_flush()
    assert await counts.count([said(2)], after=1) == 2


async def test_another_deployments_counts_are_neither_read_nor_written(
    counts: RedisUnread, redis: Redis, redis_url: str
) -> None:
    await redis.set("deployment", "dep_other")
    for call in (
        counts.count([said(1)], after=0),
        counts.states("alice", ["c"]),
        counts.unread("alice", ["c"]),
        counts.mark_read("alice", "c", ReadPosition(1, 1)),
    ):
        with pytest.raises(ForeignStore):
            await call
    assert not await redis.exists("channel-latest:c")
    await redis.delete("deployment")
    await redis.hset("channel-latest:c", "count", 1)
    with pytest.raises(ForeignStore, match="channel-latest:c"):
        await RedisUnread.open(redis_url, deployment="dep_new")


async def test_a_key_of_another_program_is_named(counts: RedisUnread, redis: Redis) -> None:
    await redis.set("read-pointer:alice:c", "theirs")
    with pytest.raises(Unavailable, match="read-pointer:alice:c"):
        await counts.mark_read("alice", "c", ReadPosition(1, 1))
