"""The contract of `fanout.ports.client_state.ClientState`, over every adapter."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fanout.ports.client_state import MOST_ACTIVE
from services.adapters.redis.user_state import RedisUserState
from services.adapters.sqlite.user_state import SqliteUserState
from tests.support.user_states import USER_STATES, opened_user_state

UserState = RedisUserState | SqliteUserState


@pytest.fixture(params=USER_STATES)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[UserState]:
    async with opened_user_state(request) as opened:
        yield opened


async def test_the_channel_used_last_is_the_first(store: UserState) -> None:
    assert await store.active_channels("alice") == []
    await store.note_used([("alice", "a"), ("bob", "x"), ("alice", "b"), ("alice", "a"), ("alice", "c")])
    assert await store.active_channels("alice") == ["c", "a", "b"]
    await store.note_used([("alice", "b")])
    assert await store.active_channels("alice") == ["b", "c", "a"]
    assert await store.active_channels("bob") == ["x"]


async def test_only_those_used_last_are_kept(store: UserState) -> None:
    await store.note_used([("alice", f"c{number}") for number in range(MOST_ACTIVE + 70)])
    kept = await store.active_channels("alice")
    assert kept == [f"c{number}" for number in reversed(range(70, MOST_ACTIVE + 70))]
    await store.note_used([])


async def test_uses_at_the_same_time_are_all_noted(store: UserState) -> None:
    await asyncio.gather(*(store.note_used([("alice", f"c{number}")]) for number in range(20)))
    assert set(await store.active_channels("alice")) == {f"c{number}" for number in range(20)}
