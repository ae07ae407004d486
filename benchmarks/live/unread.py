"""Messages counted as unread in Redis: by the counter, and by an increment for each member, of the same messages.

The server says how many commands it executed, those of scripts included; the connections say how often something was
sent and its answer awaited.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from time import perf_counter
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection

from benchmarks.errors import BenchError
from benchmarks.live.servers import running, workplace
from fanout.keys import Keys
from fanout.ports.log import StoredEvent
from fanout.ports.unread import CountedMessage, ReadPosition
from services.adapters.embedded.log import EmbeddedLog
from services.adapters.redis.client import make_client
from services.adapters.redis.keyspace import chunks
from services.adapters.redis.unread import RedisUnread
from services.message_writer.unread_counter import UnreadCounter

FULL_MEMBERS: Final = 100_000
_SMALLER: Final = (2, 500, 10_000)
MENTIONS: Final = 20
_JOINED_AT_ONCE: Final = 25
_LOOKED_AT: Final = 50
"""Members of each channel whose counts are compared with what is due."""
_OF_THE_BENCHMARK: Final = {"cmdstat_config|resetstat", "cmdstat_info"}


class UnreadOptions(msgspec.Struct, frozen=True):
    """How much."""

    members: Annotated[int, Meta(ge=2, description="Members of the largest channel.")] = FULL_MEMBERS
    rounds: Annotated[int, Meta(ge=1, description="Messages of each kind in each channel.")] = 5

    def sizes(self) -> list[int]:
        """The members of each channel, in rising order."""
        return [*(size for size in _SMALLER if size < self.members), self.members]


class Cost(msgspec.Struct, frozen=True):
    """The cost of a message."""

    commands: int
    """Those of the most expensive one."""
    round_trips: int
    seconds: list[float]


class Message(msgspec.Struct, frozen=True):
    """Messages of one kind, counted in both ways."""

    members: int
    mentions: int
    counter: Cost
    increments: Cost


class Bench:
    """A Redis that has just been started, with the clients of both ways.

    Args:
        url: of the server.
        log: the counter's, which it need not read.
    """

    def __init__(self, url: str, log: EmbeddedLog) -> None:
        self.clients: Final = [make_client(url) for _ in range(2)]
        self._admin = Redis.from_url(url, decode_responses=True, protocol=2)
        for client in self.clients:
            client.connection_pool.connection_class = self._counting(client.connection_pool.connection_class)
        self.counts: Final = RedisUnread(self.clients[0], Keys(), "bench")
        self._counter = UnreadCounter(log, self.counts)
        self._round_trips = 0
        self._seq = 0
        self._due: dict[tuple[str, str], list[int]] = {}
        """By channel and user: unread messages and mentions."""

    async def channel(self, members: int, rounds: int) -> list[Message]:
        """Create a channel, and count messages without and with mentions; a `BenchError` as `measure`."""
        await self._create(members)
        return [await self.measure(members, mentions, rounds) for mentions in (0, min(MENTIONS, members - 1))]

    async def _create(self, members: int) -> None:
        """Let users join a channel of the name of its size, and count a message: all is prepared on both sides then."""
        channel_id, users = str(members), _users(members)
        for start in range(0, members, _JOINED_AT_ONCE):
            some = users[start : start + _JOINED_AT_ONCE]
            await asyncio.gather(*(self.counts.joined(user, channel_id, 1, ReadPosition()) for user in some))
        await self.measure(members, min(MENTIONS, members - 1), rounds=1)

    async def measure(self, members: int, mentions: int, rounds: int) -> Message:
        """Count messages in both ways, in turn; a `BenchError` if a count is wrong after one."""
        costs: tuple[list[Cost], list[Cost]] = ([], [])
        for _ in range(rounds):
            message = self._message(members, mentions)
            costs[0].append(await self._counted(lambda message=message: self._by_the_counter(message)))  # type: ignore[misc]
            costs[1].append(await self._counted(lambda message=message: self._by_increments(message, members)))  # type: ignore[misc]
            await self._check(message, members)
        return Message(members, mentions, _together(costs[0]), _together(costs[1]))

    async def close(self) -> None:
        """Close the connections."""
        for client in (*self.clients, self._admin):
            await client.aclose()

    def _counting(self, kind: type[AbstractConnection]) -> type[AbstractConnection]:
        async def send(connection: AbstractConnection, *args: Any, **kwargs: Any) -> None:
            self._round_trips += 1
            await kind.send_packed_command(connection, *args, **kwargs)

        return type(kind.__name__, (kind,), {"send_packed_command": send})

    def _message(self, members: int, mentions: int) -> CountedMessage:
        self._seq += 1
        sender, *others = _users(members)
        for user in others:
            due = self._due.setdefault((str(members), user), [0, 0])
            due[0] += 1
            due[1] += user in others[:mentions]
        return CountedMessage(self._seq, str(members), f"msg_{self._seq}", sender, tuple(others[:mentions]))

    async def _counted(self, count: Callable[[], Awaitable[None]]) -> Cost:
        await self._admin.config_resetstat()
        trips, began = self._round_trips, perf_counter()
        await count()
        taken, trips = perf_counter() - began, self._round_trips - trips
        statistics = await self._admin.info("commandstats")
        calls = sum(each["calls"] for name, each in statistics.items() if name not in _OF_THE_BENCHMARK)
        return Cost(calls, trips, [taken])

    async def _by_the_counter(self, message: CountedMessage) -> None:
        await self._counter.handle([message], StoredEvent(message.seq, "", b""))

    async def _by_increments(self, message: CountedMessage, members: int) -> None:
        increments = [(f"{user}-unread", message.channel_id) for user in _users(members) if user != message.sender_id]
        increments += [(f"{user}-mentions", message.channel_id) for user in message.mentions]
        for some in chunks(increments):
            async with self.clients[1].pipeline(transaction=False) as pipeline:
                for key, field in some:
                    pipeline.hincrby(key, field, 1)
                await pipeline.execute()

    async def _check(self, message: CountedMessage, members: int) -> None:
        users, channel_id = _users(members), message.channel_id
        for user in [*users[: _LOOKED_AT // 2], *users[-_LOOKED_AT // 2 :]]:
            due = self._due.get((channel_id, user), [0, 0])
            unread = (await self.counts.unread(user, [channel_id])).get(channel_id, (0, 0))
            by_increments = [
                int(await self._admin.hget(f"{user}-{what}", channel_id) or 0) for what in ("unread", "mentions")
            ]
            if not list(unread) == by_increments == due:
                raise BenchError(f"{user} has {unread} unread by the counter and {by_increments} otherwise, of {due}")


@asynccontextmanager
async def opened_bench(url: str) -> AsyncIterator[Bench]:
    """Open the clients of a Redis that is empty."""
    async with AsyncExitStack() as stack:
        log = await EmbeddedLog.open(None, partitions=1)
        stack.push_async_callback(log.close)
        bench = Bench(url, log)
        stack.push_async_callback(bench.close)
        yield bench


async def measure(options: UnreadOptions) -> list[Message]:
    """Start a Redis, and count messages with and without mentions in channels of each size.

    Raises:
        BenchError: there is no server, or one of the ways counted wrongly.
    """
    with workplace() as folder, running("redis-server", folder) as server:
        async with opened_bench(f"redis://127.0.0.1:{server.port}") as bench:
            found: list[Message] = []
            for members in options.sizes():
                found += await bench.channel(members, options.rounds)
            return found


def run_unread(options: UnreadOptions) -> list[Message]:
    """`measure` on a loop of its own."""
    return asyncio.run(measure(options))


def _users(members: int) -> list[str]:
    return [f"user-{number}" for number in range(members)]


def _together(costs: Sequence[Cost]) -> Cost:
    return Cost(
        max(each.commands for each in costs),
        max(each.round_trips for each in costs),
        [seconds for each in costs for seconds in each.seconds],
    )
