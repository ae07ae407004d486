"""Servers for every test that asks for one.

`nats_url` and `redis_url` are shared by the whole run: for tests that keep nothing in NATS. Redis is emptied for each.
`mongo_url` is shared too, and names a database of the test's own. `cassandra` is shared also by the workers of
pytest-xdist; `keyspace_prefix` makes a keyspace a test's own.
`nats_server`, `redis_server` and `mongo_server` are a test's own: to be killed, restarted and frozen, or for streams
that are new.
"""

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from benchmarks.live.servers import exchange
from fanout import machine
from tests.support.browser import Browser, running_browser
from tests.support.servers import ConfiguredNats, MongoServer, NatsServer, RedisServer, Server
from tests.support.shared_servers import shared_cassandra

_DATABASES = itertools.count(1)
_S = TypeVar("_S", bound=Server)


@contextmanager
def _running(server: _S) -> Iterator[_S]:
    server.start()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    """A headless Chromium."""
    async with running_browser(tmp_path / "browser") as browser:
        yield browser


@pytest.fixture(scope="session")
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with _running(NatsServer(tmp_path_factory.mktemp("nats"))) as server:
        yield server.url


@pytest.fixture(scope="session")
def _shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with _running(RedisServer(tmp_path_factory.mktemp("redis"))) as server:
        yield server


@pytest.fixture
def redis_url(_shared_redis: RedisServer) -> str:
    assert exchange(_shared_redis.port, b"FLUSHALL\r\n") == b"+OK\r\n"
    return _shared_redis.url


@pytest.fixture(scope="session")
def _shared_mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    with _running(MongoServer(tmp_path_factory.mktemp("mongo"))) as server:
        yield server


@pytest.fixture
def mongo_url(_shared_mongo: MongoServer) -> str:
    return f"{_shared_mongo.url}/test_{next(_DATABASES)}"


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    with _running(NatsServer(tmp_path / "nats")) as server:
        yield server


@pytest.fixture
def small_nats(tmp_path: Path) -> Iterator[ConfiguredNats]:
    """A server that takes messages of 64 KB at most."""
    server = ConfiguredNats(tmp_path / "nats")
    server.config = "max_payload: 64KB\n"
    with _running(server):
        yield server


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    with _running(RedisServer(tmp_path / "redis")) as server:
        yield server


@pytest.fixture
def mongo_server(tmp_path: Path) -> Iterator[MongoServer]:
    with _running(MongoServer(tmp_path / "mongo")) as server:
        yield server


@pytest.fixture(scope="session")
def cassandra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The host and port of a Cassandra."""
    with shared_cassandra(tmp_path_factory) as host:
        yield host


@pytest.fixture
def keyspace_prefix() -> str:
    """A `FANOUT_PREFIX` that no other test has."""
    return f"t{machine.random_token(6)}"
