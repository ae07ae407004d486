"""The contract of `fanout.ports.changes.Changes`, over every adapter."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fanout.ports.drafts import DraftContent
from fanout.ports.unread import ReadPosition
from services.adapters.redis.user_state import RedisUserState
from services.adapters.sqlite.user_state import SqliteUserState
from tests.support.user_states import USER_STATES, opened_user_state

UserState = RedisUserState | SqliteUserState
NOW = "2126-02-01T09:00:00.000Z"
LATELY_S = 60.0


@pytest.fixture(params=USER_STATES)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[UserState]:
    async with opened_user_state(request) as opened:
        yield opened


async def test_pointers_drafts_and_memberships_are_changes_of_their_user(store: UserState) -> None:
    assert await store.changed(["alice", "bob"], LATELY_S) == {}
    await store.joined("alice", "joined", 1, ReadPosition())
    await asyncio.sleep(0.002)  # the record has milliseconds
    await store.mark_read("alice", "read", ReadPosition(3, 3, 0, "msg_3", NOW))
    await asyncio.sleep(0.002)
    await store.save_draft("alice", "written", DraftContent("Hello"), now=NOW)
    await asyncio.sleep(0.002)
    await store.left("alice", "left", 1)
    await store.save_draft("bob", "deleted", None, now=NOW)
    found = await store.changed(["alice", "bob", "eve"], LATELY_S)
    assert found == {"alice": ["joined", "read", "written", "left"], "bob": ["deleted"]}


async def test_a_channel_is_named_once_by_its_last_change(store: UserState) -> None:
    await store.save_draft("alice", "a", DraftContent("1"), now=NOW)
    await asyncio.sleep(0.002)
    await store.save_draft("alice", "b", DraftContent("1"), now=NOW)
    await asyncio.sleep(0.002)
    await store.save_draft("alice", "a", DraftContent("2"), now=NOW)
    assert await store.changed(["alice"], LATELY_S) == {"alice": ["b", "a"]}


async def test_what_changes_nothing_is_no_change(store: UserState) -> None:
    await store.joined("alice", "c", 5, ReadPosition(9, 9))
    await asyncio.sleep(0.1)
    assert not await store.mark_read("alice", "c", ReadPosition(3, 3))
    assert not await store.joined("alice", "c", 5, ReadPosition())
    assert not await store.left("alice", "c", 4)
    assert await store.changed(["alice"], 0.05) == {}
    assert await store.changed(["alice"], LATELY_S) == {"alice": ["c"]}


async def test_many_users_are_asked_for_at_once(store: UserState) -> None:
    users = [f"user{number}" for number in range(500)]
    for user in users[::100]:
        await store.save_draft(user, "c", DraftContent("1"), now=NOW)
    assert (await store.changed(users, LATELY_S)).keys() == set(users[::100])
    assert await store.changed([], LATELY_S) == {}
