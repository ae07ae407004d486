"""Writers, and the services that read what they write, in the process of the test, on real servers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Protocol, cast

from fanout.errors import Unavailable
from fanout.ids import new_message_id
from fanout.ports.log import Log
from fanout.ports.memberships import Channel
from fanout.ports.messages import Messages, Position
from fanout.ports.receipts import Receipts
from fanout.ports.unread import UnreadCounts
from fanout.streams import MESSAGE_WRITER, MESSAGES, META, RECEIPT_WRITER, RECEIPTS, UNREAD_COUNTER
from fanout.subjects import message
from services.adapters.embedded.bus import EmbeddedBus
from services.adapters.embedded.deployment import EmbeddedDeployment
from services.adapters.nats import NatsConnection, NatsLog, connect
from services.adapters.redis.unread import RedisUnread
from services.command.service import CommandService
from services.composition.reading import client_commands, read_positions, unread_queries
from services.message_writer.unread_counter import running_unread_counter
from services.message_writer.writer import running_writer
from services.receipt_writer.writer import running_receipt_writer
from services.runtime.active_channels import ActiveChannels
from services.runtime.membership_cache import MembershipCache
from tests.support.faulty import FaultyMemberships, faulty_memberships
from tests.support.observing import eventually
from tests.support.redelivering import Redelivery
from tests.support.stored import stored_message

PARTITIONS = 4
PAGE = 500
AT_ONCE = 32
ATTEMPTS = 20
READERS = (
    (MESSAGES, MESSAGE_WRITER),
    (MESSAGES, UNREAD_COUNTER),
    (META, UNREAD_COUNTER),
    (RECEIPTS, RECEIPT_WRITER),
)


class MessageStore(Messages, Receipts, Protocol):
    """A message store."""


class Writer:
    """A message and a receipt writer with a connection of their own."""

    def __init__(self, nc: NatsConnection, running: AsyncExitStack) -> None:
        self._nc = nc
        self._running = running

    async def crash(self) -> None:
        """End it without a word to the server, which delivers again what the writer held."""
        self._nc.options["allow_reconnect"] = False
        self._nc._abort()
        await self._running.aclose()


class StoreWorld:
    """A log and stores on real servers, with the calls that read them.

    Attributes:
        redelivery: what the writers were delivered again.
        failures: errors that ended a writer.
    """

    def __init__(self, stack: AsyncExitStack, nats_url: str, messages: MessageStore, counts: UnreadCounts) -> None:
        self.messages = messages
        self.counts = counts
        self.redelivery = Redelivery()
        self.failures: list[BaseException] = []
        self._stack = stack
        self._url = nats_url
        self._deployment = EmbeddedDeployment("test")
        self.log: Log
        self.memberships: FaultyMemberships

    async def start(self) -> None:
        """Connect, and put the calls together."""
        self.log = await self._open_log(await self._connect(self._stack), self._stack)
        self.memberships = await self._stack.enter_async_context(faulty_memberships())
        cache = MembershipCache(self.memberships)
        self.commands = CommandService(self.log, self.memberships, cache, self.messages, self.memberships)
        self.queries = unread_queries(self.log, self.memberships, self.messages, self.counts)
        self.client_commands = client_commands(
            self.log,
            EmbeddedBus(),
            self.memberships,
            MembershipCache(self.memberships),
            self.messages,
            self.counts,
            cast("Any", self.counts),
            ActiveChannels(cast("Any", self.counts)),
        )

    async def _connect(self, stack: AsyncExitStack) -> NatsConnection:
        nc = await connect(self._url, name="test")
        stack.push_async_callback(nc.close)
        return nc

    async def _open_log(self, nc: NatsConnection, stack: AsyncExitStack) -> NatsLog:
        log = await NatsLog.open(nc, self._deployment, partitions=PARTITIONS)
        stack.push_async_callback(log.close)
        return log

    async def start_writer(self, *, twice: bool = False) -> Writer:
        """Start a message writer and a receipt writer, which runs until the world ends.

        Args:
            twice: each event is delivered to it, or to another writer, once more after it was handled.
        """
        running = await self._stack.enter_async_context(AsyncExitStack())
        nc = await self._connect(running)
        log: Log = await self._open_log(nc, running)
        log = self.redelivery.of(log) if twice else log
        await running.enter_async_context(running_writer(log, self.messages, self.failures.append))
        await running.enter_async_context(running_receipt_writer(log, self.messages, self.failures.append))
        positions = read_positions(log, self.messages)
        await running.enter_async_context(running_unread_counter(log, self.counts, positions, self.failures.append))
        return Writer(nc, running)

    async def create(self, channel: str, *members: str) -> None:
        """Create a channel whose members have read nothing. Its creation is not published."""
        document = Channel(channel, channel, private=False, created_by=members[0], created_at="t")
        await self.memberships.create(document, members, published=True)

    async def post(
        self, channel: str, sender: str = "bob", *mentions: str, message_id: str | None = None, **fields: object
    ) -> Position:
        """Append a message, again where the log does not answer in time; its place in the log."""
        message_id = message_id or new_message_id()
        payload = stored_message(channel, sender_id=sender, mentions=list(mentions), message_id=message_id, **fields)
        for _ in range(ATTEMPTS):
            with suppress(Unavailable):
                appended = await self.log.append(message(channel), payload, msg_id=message_id)
                return Position(appended.seq, message_id)
        raise AssertionError("the log takes nothing")

    async def is_caught_up(self) -> bool:
        """Whether the writers have acknowledged everything."""
        for stream, durable in READERS:
            if await self.log.acknowledged(stream, durable) < await self.log.last_seq(stream):
                return False
        return True

    async def caught_up(self, within_s: float) -> None:
        """Wait until the writers have acknowledged everything."""
        await eventually(self.is_caught_up, within_s)
        assert not self.failures

    def came_again(self, stream: str, durable: str) -> int:
        """How many events a durable consumer was delivered again."""
        return len(self.redelivery.given_back[stream, durable])

    async def history(self, channel: str) -> list[str]:
        """The ids of all messages of a channel in the store, oldest first."""
        found: list[str] = []
        last: Position | None = None
        while page := (await self.messages.history(channel, before=last, limit=PAGE)).messages:
            found += [each.message_id for each in page]
            last = Position(page[-1].seq, page[-1].message_id)
        return found[::-1]

    async def replies(self, thread_id: str) -> list[str]:
        """The ids of all replies of a thread in the store, oldest first."""
        found: list[str] = []
        last: Position | None = None
        while page := (await self.messages.replies(thread_id, after=last, limit=PAGE)).messages:
            found += [each.message_id for each in page]
            last = Position(page[-1].seq, page[-1].message_id)
        return found


@asynccontextmanager
async def store_world(nats_url: str, redis_url: str, messages: MessageStore) -> AsyncIterator[StoreWorld]:
    """A world for the length of the context.

    Args:
        nats_url: a server of the test's own.
        redis_url: an empty Redis.
        messages: the message store.
    """
    async with AsyncExitStack() as stack:
        counts = await RedisUnread.open(redis_url, deployment="dep_test")
        stack.push_async_callback(counts.close)
        world = StoreWorld(stack, nats_url, messages, counts)
        await world.start()
        yield world
        assert not world.failures


async def some_at_once(calls: Iterable[Awaitable[object]]) -> None:
    """Await calls in their order, so many at a time."""
    left = iter(calls)

    async def await_some() -> None:
        for call in left:
            await call

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(await_some())
