from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.clients import Caller
from tests.support.cluster import Cluster, Service
from tests.support.servers import NatsServer, RedisServer


@pytest.fixture
async def cluster(tmp_path: Path, nats_server: NatsServer, redis_server: RedisServer) -> AsyncIterator[Cluster]:
    """No service yet; each that is started finds NATS and Redis of its own."""
    cluster = Cluster(tmp_path, NATS_URL=nats_server.url, REDIS_URL=redis_server.url)
    try:
        yield cluster
    finally:
        await cluster.kill()


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Service]:
    """Every service in one process, everything embedded."""
    cluster = Cluster(tmp_path)
    try:
        yield await cluster.start("up", "up")
    finally:
        await cluster.kill()


@pytest.fixture
async def caller(up: Service) -> AsyncIterator[Caller]:
    """REST calls to the embedded system."""
    caller = Caller(up.url)
    yield caller
    await caller.close()
