"""A connection to Redis that the event loop has closed is a lost one at once, also before redis-py knows it."""

import asyncio
from typing import cast

import pytest
from redis.asyncio import Connection

from services.adapters.redis.client import make_client
from tests.support.loops import LOOPS, TURNS, Loop, run_on
from tests.support.reading import PATIENCE_S
from tests.support.servers import RedisServer


@LOOPS
@pytest.mark.parametrize("turns", range(TURNS))
def test_a_lost_connection_to_redis_is_replaced(loop: Loop, redis_server: RedisServer, turns: int) -> None:
    async def main() -> None:
        client = make_client(redis_server.url)
        await client.set("a", "1")
        pool = client.connection_pool
        connection = cast("Connection", await pool.get_connection())  # type: ignore[no-untyped-call]  # redis-py's own
        assert connection._writer is not None
        connection._writer.transport.abort()
        for _ in range(turns):
            await asyncio.sleep(0)
        await pool.release(connection)
        async with asyncio.timeout(PATIENCE_S):
            assert await client.get("a") == "1"
        await client.aclose()

    run_on(loop, main())
