"""The stores of what users have read, written and changed, opened for a contract suite."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest
from redis.asyncio import Redis

from services.adapters.redis.user_state import RedisUserState
from services.adapters.sqlite.user_state import SqliteUserState

USER_STATES: Final = ("sqlite", "redis", "redis with a prefix")
"""The parameters of a fixture that hands its request to `opened_user_state`."""


@asynccontextmanager
async def opened_user_state(request: pytest.FixtureRequest) -> AsyncIterator[RedisUserState | SqliteUserState]:
    """Open the empty store that the fixture's parameter names."""
    store = await _opened(request)
    try:
        yield store
    finally:
        await store.close()


async def _opened(request: pytest.FixtureRequest) -> RedisUserState | SqliteUserState:
    if request.param == "sqlite":
        return await SqliteUserState.open(None)
    url = request.getfixturevalue("redis_url")
    client = Redis.from_url(url)
    await client.flushdb()
    await client.aclose()
    prefix = "blue" if "prefix" in request.param else ""
    return await RedisUserState.open(url, prefix=prefix, deployment="dep_test")
