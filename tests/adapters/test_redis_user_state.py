"""The keys of drafts and of the record of changes, as other programs see them. Contract section 5."""

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from fanout.errors import Unavailable
from fanout.keys import Keys
from fanout.ports.changes import CHANGES_KEPT, CHANGES_KEPT_S
from fanout.ports.drafts import DRAFT_KEPT_S, DraftContent
from services.adapters.redis import change_scripts
from services.adapters.redis.scripts import prepared
from services.adapters.redis.user_state import RedisUserState

NOW = "2026-02-01T10:00:00.000Z"
LATER = "2026-02-01T10:00:01.000Z"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url, decode_responses=True, protocol=2)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
async def store(redis: Redis, redis_url: str) -> AsyncIterator[RedisUserState]:
    opened = await RedisUserState.open(redis_url, deployment="dep_test")
    yield opened
    await opened.close()


async def test_a_draft_is_a_hash_for_seven_days(store: RedisUserState, redis: Redis) -> None:
    await store.save_draft("alice", "c", DraftContent("Hey", "msg_1", ["file_1"]), now=NOW, device_id="dev_ios_1")
    assert await redis.hgetall("draft:alice:c") == {
        "text": "Hey",
        "reply_to": "msg_1",
        "attachments": '["file_1"]',
        "updated_at": NOW,
        "device_id": "dev_ios_1",
    }
    assert 0 < await redis.ttl("draft:alice:c") <= DRAFT_KEPT_S


async def test_a_deleted_draft_is_remembered_for_seven_days(store: RedisUserState, redis: Redis) -> None:
    await store.save_draft("alice", "c", DraftContent("Hey"), now=NOW)
    await redis.expire("draft:alice:c", 60)
    await store.save_draft("alice", "c", None, now=LATER, device_id="dev_ios_1")
    assert await redis.hgetall("draft:alice:c") == {"updated_at": LATER, "device_id": "dev_ios_1", "deleted": "1"}
    assert 60 < await redis.ttl("draft:alice:c") <= DRAFT_KEPT_S


async def test_a_change_is_a_channel_by_time_for_a_day(store: RedisUserState, redis: Redis) -> None:
    await store.save_draft("alice", "c", DraftContent("Hey"), now=NOW)
    at_ms = await redis.zscore("changed:alice", "c")
    seconds, _ = await redis.time()
    assert at_ms is not None
    assert abs(at_ms / 1_000 - seconds) < 10
    assert 0 < await redis.ttl("changed:alice") <= CHANGES_KEPT_S


async def test_old_changes_and_very_many_are_forgotten(store: RedisUserState, redis: Redis) -> None:
    seconds, _ = await redis.time()
    old: dict[str | bytes, float] = {
        f"old{number}": seconds * 1_000 - CHANGES_KEPT_S * 1_000 - 1 for number in range(3)
    }
    changes = old | {f"c{number}": seconds * 1_000 for number in range(CHANGES_KEPT)}
    await redis.zadd("changed:alice", cast("Any", changes))
    await store.save_draft("alice", "newest", DraftContent("Hey"), now=NOW)
    assert await redis.zcard("changed:alice") == CHANGES_KEPT
    assert await redis.zscore("changed:alice", "old1") is None
    assert await redis.zscore("changed:alice", "newest") is not None


async def test_a_key_of_another_program_is_named(store: RedisUserState, redis: Redis) -> None:
    await redis.set("draft:alice:c", "theirs")
    with pytest.raises(Unavailable, match="draft:alice:c"):
        await store.drafts("alice", ["c"])
    await redis.set("changed:alice", "theirs")
    with pytest.raises(Unavailable, match="changed:alice"):
        await store.changed(["alice"], 60)


def test_the_scripts_of_changes_name_no_key() -> None:
    assert "KEYS" not in change_scripts.NOTE_CHANGE
    assert "changed:" not in prepared(change_scripts.CHANGED, Keys(), "")
