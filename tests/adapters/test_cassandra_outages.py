"""A Cassandra that is killed, or stands still, while messages are written."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial

import pytest

from fanout.errors import Unavailable
from fanout.events import StoredMessage
from fanout.ports.messages import LogPlace
from services.adapters.cassandra.messages import CassandraMessages
from tests.support import soak
from tests.support.cassandra import opened_cassandra
from tests.support.observing import LOOK_EVERY_S, eventually
from tests.support.servers import CassandraServer, free_port
from tests.support.soak import progress
from tests.support.stored import in_history

TIMEOUT_S = 1.0
IN_FLIGHT = 64
IN_A_WRITE = 20
PATIENCE_S = 60.0
"""Reached only by a test that fails."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CassandraServer]:
    """One for this module: it is killed and paused."""
    server = CassandraServer(tmp_path_factory.mktemp("cassandra"))
    server.start()
    yield server
    server.close()


@pytest.fixture
async def store(server: CassandraServer, keyspace_prefix: str) -> AsyncIterator[CassandraMessages]:
    host = f"127.0.0.1:{server.port}"
    async with opened_cassandra(host, keyspace_prefix) as made:
        await made.ping()
    async with opened_cassandra(host, keyspace_prefix, timeout_s=TIMEOUT_S, max_in_flight=IN_FLIGHT) as opened:
        yield opened


class Writers:
    """Writers that repeat each write until it succeeds, as the message writer does."""

    def __init__(self, store: CassandraMessages) -> None:
        self._store = store
        self.written: list[StoredMessage] = []
        self.failures = 0
        self.most_in_flight = 0
        self.stopping = False

    async def run(self, writers: int = 4) -> None:
        await asyncio.gather(*(self._write(f"channel-{number}") for number in range(writers)))

    async def _write(self, channel: str) -> None:
        first = 1
        while not self.stopping:
            messages = [in_history(first + number, channel) for number in range(IN_A_WRITE)]
            first += IN_A_WRITE
            while not await self._attempt(messages):  # noqa: ASYNC110 - as long as the server is away
                await asyncio.sleep(LOOK_EVERY_S)
            self.written += messages

    async def _attempt(self, messages: list[StoredMessage]) -> bool:
        self.most_in_flight = max(self.most_in_flight, self._store.connection.in_flight)
        try:
            await self._store.write(messages, LogPlace(messages[-1].seq, 1))
        except Unavailable:
            self.failures += 1
            return False
        return True

    async def stored_once(self) -> None:
        """Check that the store has what was written, a row each."""
        query = f"SELECT message_id FROM {self._store.keyspace}.messages LIMIT 100000"  # noqa: S608 - a constant
        rows = await self._store.connection.execute("reading", query)
        assert sorted(each for (each,) in rows) == sorted(each.message_id for each in self.written)


async def _wrote_more(writers: Writers) -> None:
    enough = len(writers.written) + 4 * IN_A_WRITE
    await eventually(lambda: asyncio.sleep(0, len(writers.written) >= enough), PATIENCE_S)


async def _failed_more(writers: Writers, than: int) -> bool:
    return writers.failures > than


async def _kill_for(server: CassandraServer, seconds: float, writers: Writers) -> None:
    server.kill()
    progress("the server is killed, for %.0f s", seconds)
    try:
        await eventually(partial(_failed_more, writers, writers.failures), PATIENCE_S)
        await asyncio.sleep(seconds)
    finally:
        await asyncio.to_thread(server.start)


@pytest.mark.parametrize("each_for_s", soak.NODE_KILLED_FOR_S)
async def test_writes_go_on_each_time_that_a_killed_server_is_back(
    server: CassandraServer, store: CassandraMessages, each_for_s: list[float]
) -> None:
    writers = Writers(store)
    running = asyncio.create_task(writers.run())
    await _wrote_more(writers)
    for seconds in each_for_s:
        killing = asyncio.create_task(_kill_for(server, seconds, writers))
        await eventually(partial(_failed_more, writers, writers.failures), PATIENCE_S)
        with pytest.raises(Unavailable):
            await store.history("channel-0")
        await killing
        await _wrote_more(writers)
    writers.stopping = True
    await running
    await writers.stored_once()
    assert writers.most_in_flight <= IN_FLIGHT


@pytest.mark.parametrize("at_least_s", soak.NODE_STANDS_STILL_S)
async def test_a_server_that_stands_still_hangs_nobody(
    server: CassandraServer, store: CassandraMessages, at_least_s: float
) -> None:
    writers = Writers(store)
    running = asyncio.create_task(writers.run(20))
    await _wrote_more(writers)
    server.pause()
    ends = time.monotonic() + at_least_s
    try:
        reads = 0
        while reads < 3 or time.monotonic() < ends:
            async with asyncio.timeout(10 * TIMEOUT_S):  # it ends after about one
                with pytest.raises(Unavailable):
                    await store.history("channel-0")
            reads += 1
            progress("the server stands still; %s reads were refused", reads)
        async with asyncio.timeout(10 * TIMEOUT_S):
            with pytest.raises(Unavailable):
                await store.ping()
        assert store.connection.in_flight <= IN_FLIGHT
    finally:
        server.resume()
    await _wrote_more(writers)
    writers.stopping = True
    await running
    await writers.stored_once()
    assert writers.failures
    assert writers.most_in_flight <= IN_FLIGHT


async def test_a_server_that_is_away_at_the_start_is_named_without_the_password() -> None:
    host = f"127.0.0.1:{free_port()}"
    with pytest.raises(Unavailable, match=f"no Cassandra node lets us in at {host}") as caught:
        async with opened_cassandra(f"ann:secret@{host}", "away"):
            pass
    assert "secret" not in str(caught.value)
