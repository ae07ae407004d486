"""The logs of one deployment on a server that loses events, and what their readers were given."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from fanout.errors import Unavailable
from fanout.ports.log import Log, Reset, StoredEvent
from fanout.streams import MESSAGES
from fanout.subjects import message
from services.adapters.embedded.deployment import EmbeddedDeployment
from services.adapters.nats import NatsConnection, NatsLog
from services.runtime.tasks import retry_forever
from tests.support.nats import HEARTBEAT_S, connected
from tests.support.reading import append_messages, payloads, soon, until
from tests.support.servers import NatsServer


class World:
    """Logs of one deployment, each with a connection of its own, as processes have them."""

    def __init__(self, server: NatsServer, stack: AsyncExitStack) -> None:
        self.server = server
        self.deployment = EmbeddedDeployment()
        self.resets: list[Reset] = []
        self._stack = stack

    async def connect(self) -> NatsConnection:
        return await self._stack.enter_async_context(connected(self.server.url))

    async def save(self, log: Log, name: str = "saved") -> Path:
        """Keep what the server holds; return when the log is connected again."""
        saved = self.server.save(name)
        await soon(retry_forever(log.ping, "waiting for the server"))
        return saved

    async def log(self) -> NatsLog:
        log = await NatsLog.open(await self.connect(), self.deployment, partitions=1, heartbeat=HEARTBEAT_S)
        self._stack.push_async_callback(log.close)
        log.on_reset(self.resets.append)
        return log


class Reading:
    """What a reader was given, as long as the test lasts."""

    def __init__(
        self, fetch: Callable[[], "asyncio.Future[Sequence[StoredEvent]]"], done: Callable[..., object]
    ) -> None:
        self.events: list[StoredEvent] = []
        self._fetch, self._done = fetch, done
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            events = await self._fetch()
            self.events += events
            await self._done(events)  # type: ignore[misc]

    async def has(self, *numbers: int) -> None:
        """Wait until these came, in whatever order; fail with what came instead."""
        try:
            await until(lambda: asyncio.sleep(0, set(numbers) <= set(payloads(self.events)) or None))
        except TimeoutError:
            pytest.fail(f"only {payloads(self.events)} came")

    def stop(self) -> None:
        self._task.cancel()


async def partition_reader(log: Log) -> Reading:
    reader = await log.claim(MESSAGES, 0, "worker")
    return Reading(reader.fetch, lambda events: reader.ack(events[-1].seq))  # type: ignore[arg-type]


async def tail(log: Log) -> Reading:
    reader = await log.tail(MESSAGES, after=0)
    return Reading(reader.fetch, lambda _: asyncio.sleep(0))  # type: ignore[arg-type]


async def work_queue(log: Log) -> Reading:
    reader = await log.consume(MESSAGES, "message-writer")
    return Reading(reader.fetch, reader.ack)  # type: ignore[arg-type]


READERS = [partition_reader, tail, work_queue]


async def published(nc: NatsConnection, numbers: range) -> None:
    """Store events past everybody who could notice something."""
    for number in numbers:
        headers = {"Nats-Msg-Id": f"general-{number}"}
        await nc.call(message("general"), str(number).encode(), headers=headers)


async def again(log: Log, numbers: range) -> list[int]:
    """Append as a client does that tries again."""
    stored = []
    for number in numbers:
        while True:
            try:
                stored += await append_messages(log, "general", [number])
                break
            except Unavailable:
                await asyncio.sleep(0.02)
    return stored
