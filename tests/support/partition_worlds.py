"""A log with a partition's reader, its instance and its failures, for tests of `services.fan_out.partitions`."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec import Raw

from fanout import Engine, Unavailable, decode_batch, partition_of
from fanout.events import Message, MessageEvent, encode, timestamp
from fanout.ids import new_event_id, new_message_id
from fanout.lanes import Lane
from fanout.streams import MESSAGES
from fanout.subjects import message
from services.adapters.embedded.log import EmbeddedLog
from services.fan_out.contact import Contact
from services.fan_out.partitions import Partitions
from services.fan_out.publisher import Publisher
from services.fan_out.suspensions import Suspensions
from services.runtime.tasks import Tasks
from tests.support.faulty import FaultyBus

PARTS = 2
CHANNEL = "general"
PART = partition_of(CHANNEL, PARTS)


class Worker:
    """A worker with one instance, `notif-1`, that reads the channel."""

    def __init__(self, name: str, log: EmbeddedLog, tasks: Tasks) -> None:
        self.bus = FaultyBus()
        self.engine = Engine()
        self.engine.user_online("alice", "notif-1", [CHANNEL])
        self.publisher = Publisher(self.engine, self.bus)
        self.now = 0.0
        self.contact = Contact(clock=lambda: self.now)
        self.suspensions = Suspensions(self.engine, self.contact)
        self.partitions = Partitions(name, self.engine, log, self.publisher, tasks, self.suspensions)
        tasks.start(self.publisher.run(), "publisher")

    def told(self) -> list[int]:
        """The seqs of the messages that the instance was told of, in order."""
        return [record.seq for record in self._records() if record.channel]

    def marked_upto(self, part: int = PART) -> int:
        """How far the instance knows the lane of MESSAGES to have come."""
        lane = Lane(MESSAGES, part).number
        return max((record.seq for record in self._records() if record.lane == lane), default=0)

    def _records(self) -> list[Any]:
        return [record for _, payload in self.bus.published for record in decode_batch(payload)]


class World:
    def __init__(self, log: EmbeddedLog, tasks: Tasks) -> None:
        self.log = log
        self._tasks = tasks
        self.failures: list[BaseException] = []

    def worker(self, name: str = "worker-1") -> Worker:
        return Worker(name, self.log, self._tasks)

    async def post(self, count: int) -> None:
        for number in range(count):
            body = Message(new_message_id(), CHANNEL, "bob", str(number), timestamp())
            event = MessageEvent(new_event_id(), "message.new", CHANNEL, Raw(encode(body)))
            await self.append(encode(event))

    async def append(self, payload: bytes) -> None:
        await self.log.append(message(CHANNEL), payload, msg_id=new_event_id())

    async def acknowledged(self) -> int:
        """Where the next reader would begin; it becomes the reader."""
        reader = await self.log.claim(MESSAGES, PART, "looks")
        return reader.position


@asynccontextmanager
async def opened_world() -> AsyncIterator[World]:
    log = await EmbeddedLog.open(None, partitions=PARTS)
    failures: list[BaseException] = []
    async with Tasks(failures.append) as tasks:
        world = World(log, tasks)
        world.failures = failures
        yield world
    await log.close()


def failing(monkeypatch: pytest.MonkeyPatch, where: object, name: str, times: int) -> list[str]:
    """Let a method of an adapter be unavailable so many times; each call's name."""
    method: Callable[..., Any] = getattr(where, name)
    calls: list[str] = []

    async def fail(*arguments: Any, **options: Any) -> Any:
        calls.append(name)
        if len(calls) <= times:
            raise Unavailable("away")
        return await method(*arguments, **options)

    monkeypatch.setattr(where, name, fail)
    return calls
