"""Messages written to Cassandra by the adapter, and by a bare loop of the driver with the same statements; and pages.

The adapter writes through a session that records its statements. They are executed once more, after the tables were
emptied, by a loop that does nothing but call `execute_async`, with as many requests in flight. The two take turns.
"""

import asyncio
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Semaphore
from time import perf_counter
from typing import Any, Final

import msgspec

from benchmarks.errors import BenchError
from benchmarks.live.servers import running
from fanout.events import StoredMessage
from fanout.ids import new_message_id
from fanout.message_rows import IN_CHANNELS
from fanout.ports.messages import Position
from services.adapters.cassandra import schema
from services.adapters.cassandra.bridge import MAX_IN_FLIGHT, Bridge
from services.adapters.cassandra.buckets import BUCKET_EVENTS
from services.adapters.cassandra.connection import CassandraConnection, new_cluster
from services.adapters.cassandra.hosts import Hosts
from services.adapters.cassandra.messages import CassandraMessages
from services.adapters.cassandra.statements import Statements

_WAIT_S: Final = 30.0
_IN_A_WRITE: Final = 500
"""Messages that the message writer gets at once."""
_BUCKETS: Final = 10
_EMPTY_BETWEEN: Final = 20
_IN_A_BUCKET: Final = 30
_IN_A_PAGE: Final = 25
_TEXT: Final = "Shall we meet at ten? The room is free until eleven, and I would bring the figures of last week."


class Written(msgspec.Struct, frozen=True):
    """Rates of one turn."""

    adapter: float
    bare: float
    """Messages per second."""
    statements: int


class Read(msgspec.Struct, frozen=True):
    """Pages of one walk through a channel."""

    round_trips: list[int]
    """One number for each page."""
    seconds: list[float]


class _Recorder:
    """A session that records what it executes."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.statements: list[tuple[Any, Any]] = []

    def execute_async(self, query: Any, parameters: Any = None) -> Any:
        self.statements.append((query, parameters))
        return self.session.execute_async(query, parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)


class Bench:
    """A store in a Cassandra that has just been started."""

    def __init__(self, store: CassandraMessages, recorder: _Recorder) -> None:
        self.store: Final = store
        self._recorder = recorder
        self._seq = 0

    async def write(self, messages: int, channels: int) -> Written:
        """Write messages in both ways; a `BenchError` if one is not found afterwards, or found twice."""
        written = self._messages(messages, channels)
        self._recorder.statements.clear()
        began = perf_counter()
        for at in range(0, messages, _IN_A_WRITE):
            await self.store.write(written[at : at + _IN_A_WRITE])
        adapter = perf_counter() - began
        statements = list(self._recorder.statements)
        await self._check(written)
        await self.empty()
        began = perf_counter()
        await asyncio.to_thread(_bare_loop, self._recorder.session, statements)
        bare = perf_counter() - began
        await self._check(written)
        await self.empty()
        return Written(messages / adapter, messages / bare, len(statements))

    async def read(self, channel: str, *, upwards: bool) -> Read:
        """Write a channel of ten buckets and walk through it; a `BenchError` if a message is missed."""
        firsts = [bucket * (_EMPTY_BETWEEN + 1) * BUCKET_EVENTS for bucket in range(_BUCKETS)]
        written = [_message(first + number, channel) for first in firsts for number in range(_IN_A_BUCKET)]
        await self.store.write(written)
        in_order = written if upwards else written[::-1]
        seen, read = in_order[:1] if upwards else [], Read([], [])
        while len(seen) < len(written):
            last = Position(seen[-1].seq, seen[-1].message_id) if seen else None
            before, after = (None, last) if upwards else (last, None)
            trips, began = self.store.reading[IN_CHANNELS].round_trips, perf_counter()
            page = await self.store.history(channel, before=before, after=after, limit=_IN_A_PAGE)
            read.seconds.append(perf_counter() - began)
            read.round_trips.append(self.store.reading[IN_CHANNELS].round_trips - trips)
            seen += page.messages[::-1] if upwards else page.messages
            if seen != in_order[: len(seen)] or not page.messages:
                raise BenchError("the pages are not what was written")
        return read

    async def empty(self) -> None:
        """Remove the messages. The buckets stay, which the store knows to be registered."""
        for table in ("messages", "message_index"):
            await self.store.connection.change_schema(f"TRUNCATE {self.store.keyspace}.{table}")

    def _messages(self, number: int, channels: int) -> list[StoredMessage]:
        self._seq += number
        return [_message(self._seq - number + each, f"c-{each % channels}") for each in range(number)]

    async def _check(self, written: list[StoredMessage]) -> None:
        query = f"SELECT message_id FROM {self.store.keyspace}.messages"  # noqa: S608 - constants
        rows = await self.store.connection.execute("checking", query)
        if sorted(each for (each,) in rows) != sorted(message.message_id for message in written):
            raise BenchError(f"{len(rows):,} rows are stored of {len(written):,} messages")


@asynccontextmanager
async def opened_bench(port: int, keyspace: str = "bench") -> AsyncIterator[Bench]:
    """Open a store in a keyspace of its own, which is created in the Cassandra on a port of 127.0.0.1."""
    cluster = new_cluster(Hosts((("127.0.0.1", port),)), _WAIT_S)
    session = await asyncio.to_thread(cluster.connect)
    session.default_fetch_size = None
    recorder = _Recorder(session)
    connection = CassandraConnection(cluster, recorder, Bridge(recorder, patience_s=_WAIT_S))
    try:
        await schema.create(connection, keyspace)
        store = CassandraMessages(connection, await Statements.prepare(connection, keyspace), keyspace)
        yield Bench(store, recorder)
    finally:
        await connection.close()


async def measure(folder: Path, messages: int, channels: int, rounds: int) -> tuple[list[Written], dict[str, Read]]:
    """Start a Cassandra, write in turns after one that is not counted, and walk both ways."""
    with running("cassandra-server", folder) as server:
        async with opened_bench(server.port) as bench:
            await bench.write(min(messages, 5_000), channels)
            written = [await bench.write(messages, channels) for _ in range(rounds)]
            return written, {
                "towards the oldest": await bench.read("downwards", upwards=False),
                "towards the newest": await bench.read("upwards", upwards=True),
            }


def ratio(written: list[Written]) -> float:
    """The adapter's rate in parts of the bare loop's: the median of the turns."""
    return statistics.median(each.adapter / each.bare for each in written)


def _message(seq: int, channel: str) -> StoredMessage:
    return StoredMessage(new_message_id(), channel, "alice", _TEXT, "2026-02-01T10:00:00.000Z", seq=seq)


def _bare_loop(session: Any, statements: list[tuple[Any, Any]]) -> None:
    """Execute statements with a bounded number in flight, and wait for all; the first error is raised."""
    places, errors = Semaphore(MAX_IN_FLIGHT), list[Exception]()

    def failed(error: Exception) -> None:
        errors.append(error)
        places.release()

    for query, parameters in statements:
        places.acquire()
        session.execute_async(query, parameters).add_callbacks(lambda _: places.release(), failed)
    for _ in range(MAX_IN_FLIGHT):
        places.acquire()
    if errors:
        raise errors[0]
