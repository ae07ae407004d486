"""Workers and instances in the test's own event loop, over embedded adapters whose faults the test chooses."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec import Raw

from fanout.events import MAX_BATCH, Message, MessageEvent, encode, timestamp
from fanout.ids import new_device_id, new_event_id, new_message_id
from fanout.ports.authenticator import Identity
from fanout.ports.drafts import Base, Draft, DraftContent, Saved
from fanout.ports.log import Log
from fanout.ports.memberships import Channel, Memberships
from fanout.ports.socket import SocketClosed
from fanout.subjects import PRESENCE_DIGESTS, message
from services.adapters.embedded.log import EmbeddedLog
from services.adapters.sqlite.memberships import SqliteMemberships
from services.command.membership_publisher import MembershipPublisher
from services.fan_out.snapshots import Snapshots
from services.fan_out.worker import FanOutPorts, FanOutWorker, running_worker
from services.notification.admission import InstanceLimits
from services.notification.instance import NotificationInstance, NotificationPorts
from services.runtime.tasks import Tasks
from tests.support.faulty import FaultyBus, FaultyPresence
from tests.support.observing import until


class AnyToken:
    """The token is the user."""

    async def verify(self, token: str) -> Identity:
        return Identity(token, time.time() + 3600)


class RecordedCommands:
    """Takes every command, and does nothing."""

    def __init__(self) -> None:
        self.marked: list[tuple[str, str, str]] = []
        self.read: list[tuple[str, str, str]] = []
        self.devices: list[str] = []
        self.draft = Draft()
        self.is_refused = False
        self.saved: list[tuple[str, str, DraftContent | None, str, Base | None]] = []
        self.failure: Exception | None = None

    async def mark_read(self, user_id: str, channel_id: str, message_id: str, *, device_id: str = "") -> None:
        if self.failure is not None:
            raise self.failure
        self.marked.append((user_id, channel_id, message_id))
        self.devices.append(device_id)

    async def message_read(self, user_id: str, channel_id: str, message_id: str) -> None:
        if self.failure is not None:
            raise self.failure
        self.read.append((user_id, channel_id, message_id))

    async def save_draft(
        self,
        user_id: str,
        channel_id: str,
        content: DraftContent | None,
        *,
        device_id: str = "",
        base: Base | None = None,
    ) -> Saved:
        if self.failure is not None:
            raise self.failure
        self.saved.append((user_id, channel_id, content, device_id, base))
        return Saved(self.draft, is_refused=self.is_refused)

    async def open_channel(self, user_id: str, channel_id: str) -> Draft:
        if self.failure is not None:
            raise self.failure
        return self.draft


class Client:
    """A socket whose other end is the test."""

    authorization: str | None = None
    peer: str | None = "192.0.2.7"

    def __init__(self, user_id: str, *, silent: bool = False, device_id: str | None = None, **auth: Any) -> None:
        self.user_id = user_id
        self.device_id = device_id or new_device_id()
        self.frames: list[dict[str, Any]] = []
        self.close_code: int | None = None
        self.close_reason = ""
        self.large_messages = False
        self.is_closed = False
        self.closed_by_client = False
        self.stalled = 0
        self.reading = True
        self._unread = bytearray()
        self._drained = asyncio.Event()
        self._sent: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        if not silent:
            self.send("auth", token=user_id, device_id=self.device_id, **auth)

    def send(self, kind: str, **fields: Any) -> None:
        self._sent.put_nowait(json.dumps({"type": kind, **fields}))

    def hang_up(self) -> None:
        """Lose the connection."""
        self.is_closed = True
        self._drained.set()
        self._sent.put_nowait(None)

    def leave(self) -> None:
        """Close the connection by a close frame."""
        self.closed_by_client = True
        self.hang_up()

    @property
    def buffered(self) -> int:
        return self.stalled

    def write(self, frames: bytes) -> None:
        if not self.reading:
            self.stalled += len(frames)
            self._unread += frames
            return
        self.frames += [json.loads(payload) for payload in text_payloads(frames)]

    def read_on(self, *, stop_again: bool = False) -> None:
        """Read what has been written meanwhile; and from now on what comes, or nothing more."""
        self.frames += [json.loads(payload) for payload in text_payloads(bytes(self._unread))]
        self._unread.clear()
        self.stalled, self.reading = 0, not stop_again
        self._drained.set()

    async def drained(self) -> None:
        while self.stalled and not self.is_closed:
            self._drained.clear()
            await self._drained.wait()
        if self.is_closed:
            raise SocketClosed

    def allow_large_messages(self) -> None:
        self.large_messages = True

    def acquire_descriptor(self, on_change: Callable[[bool], None]) -> int | None:
        return None

    async def receive(self) -> str | bytes:
        sent = await self._sent.get()
        if sent is None:
            raise SocketClosed
        return sent

    async def close(self, code: int, reason: str) -> None:
        assert reason
        self.close_code = self.close_code or code
        self.close_reason = self.close_reason or reason
        self.hang_up()

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["type"] == kind]

    def texts(self) -> list[str]:
        return [frame["message"]["text"] for frame in self.of_type("message.new")]


def text_payloads(frames: bytes) -> list[bytes]:
    """The payloads of unmasked text frames, RFC 6455 section 5.2."""
    payloads, at = [], 0
    while at < len(frames):
        assert frames[at] == 0x81
        length, start = frames[at + 1], at + 2
        if length >= 126:
            width = 2 if length == 126 else 8
            length, start = int.from_bytes(frames[start : start + width]), start + width
        payloads.append(frames[start : start + length])
        at = start + length
    assert at == len(frames)
    return payloads


class Harness:
    """A small system: any number of workers and instances, channels, and clients."""

    def __init__(self, stack: AsyncExitStack, log: Log, memberships: SqliteMemberships) -> None:
        self.log = log
        self.bus = FaultyBus()
        self.presence = FaultyPresence()
        self.memberships = memberships
        self.commands = RecordedCommands()
        self._publisher = MembershipPublisher(log, memberships)
        self._stack = stack
        self.workers: list[FanOutWorker] = []
        self.failures: list[BaseException] = []

    async def add_worker(
        self,
        name: str,
        *,
        log: Log | None = None,
        memberships: Memberships | None = None,
        snapshots: Snapshots | None = None,
    ) -> FanOutWorker:
        ports = FanOutPorts(log or self.log, self.bus, self.presence, memberships or self.memberships)
        running = running_worker(name, ports, self.failures.append, snapshots=snapshots)
        worker = await self._stack.enter_async_context(running)
        self.workers.append(worker)
        await until(worker.ready.is_set, f"{name} ready")
        return worker

    async def add_instance(
        self, name: str, *, budget: int = 1 << 20, capacity: int = 1000, **limits: int
    ) -> NotificationInstance:
        tasks = await self._stack.enter_async_context(Tasks(self.failures.append))
        terms = InstanceLimits(name, capacity, auth_timeout_s=5, heartbeat_s=30, socket_budget=budget, **limits)
        ports = NotificationPorts(
            log=self.log,
            bus=self.bus,
            connections=self.presence,
            leases=self.presence,
            aggregates=self.presence,
            memberships=self.memberships,
            devices=self.memberships,
            authenticator=AnyToken(),
        )
        instance = NotificationInstance(terms, ports, self.commands, tasks, heartbeat_timeout_s=90)
        await instance.start(f"ws://{name}/ws")
        self._stack.push_async_callback(instance.drain)
        return instance

    async def cut_off(self, name: str) -> None:
        """Make an instance look dead: it has no lease and can take none, and no digest is heard."""
        self.presence.outcomes["lease"] = None
        self.bus.prefix, self.bus.share = PRESENCE_DIGESTS, 1.0
        await self.presence.release(name)

    def restore(self) -> None:
        """End what `cut_off` began."""
        self.presence.outcomes.clear()
        self.bus.share = 0.0

    async def settle_partitions(self) -> None:
        """Wait until every partition has a reader."""
        wanted = set(range(self.log.partitions))
        await until(
            lambda: wanted == {part for worker in self.workers for part in worker.partitions.claimed()},
            "all partitions read",
        )

    def open(self, instance: NotificationInstance, client: Client) -> "asyncio.Task[None]":
        """Serve a client; what ends when its handler does."""
        serving = asyncio.create_task(instance.serve(client), name=f"serving {client.user_id}")
        self._stack.callback(serving.cancel)
        return serving

    async def connect(self, instance: NotificationInstance, user_id: str, **auth: Any) -> Client:
        client = Client(user_id, **auth)
        self.open(instance, client)
        await until(lambda: bool(client.frames) or client.close_code is not None, f"{user_id} admitted")
        return client

    async def create(self, channel: str, *members: str) -> None:
        """Create a channel as before any service ran: nothing is published."""
        document = Channel(channel, channel, private=False, created_by=members[0], created_at=timestamp())
        await self.memberships.create(document, members, published=True)

    async def say(self, channel: str, text: str, **fields: Any) -> int:
        body = Message(new_message_id(), channel, "somebody", text, timestamp(), **fields)
        event = MessageEvent(new_event_id(), "message.new", channel, Raw(encode(body)))
        return (await self.log.append(message(channel), encode(event), msg_id=event.event_id)).seq

    async def join(self, channel: str, user_id: str) -> None:
        await self._publisher.publish(await self.memberships.add(channel, [user_id], timestamp()))

    async def leave(self, channel: str, user_id: str) -> None:
        ended = await self.memberships.remove(channel, user_id, timestamp())
        assert ended is not None
        await self._publisher.publish([ended])


@asynccontextmanager
async def running_harness(folder: Path, *, partitions: int = 4) -> AsyncIterator[Harness]:
    """A harness with no worker and no instance yet."""
    log = await EmbeddedLog.open(None, partitions=partitions, longest=2 * MAX_BATCH)  # as if its limit had been higher
    try:
        async with harness_over(log, folder) as built:
            yield built
    finally:
        await log.close()


@asynccontextmanager
async def harness_over(log: Log, folder: Path) -> AsyncIterator[Harness]:
    """A harness over a log that is open, with no worker and no instance yet."""
    memberships = await SqliteMemberships.open(folder / "memberships.db")
    try:
        async with AsyncExitStack() as stack:
            built = Harness(stack, log, memberships)
            yield built
        assert not built.failures
    finally:
        await memberships.close()
