"""An instance's loop, while it tells who is here, and while a user of very many channels comes and goes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from benchmarks.live.stalls.loop_lag import Stalls, on_a_loop, watched
from benchmarks.live.stalls.stores import (
    VISITOR,
    StallsSettings,
    Stores,
    WrongOutcomeError,
    channel_name,
    opened,
    until,
)
from benchmarks.processes import READY, Leader
from fanout import presence_digest
from fanout.ids import new_device_id
from fanout.keys import PresenceChange
from fanout.ports.authenticator import Identity
from fanout.ports.socket import SocketClosed
from fanout.subjects import PRESENCE_DIGESTS, WORKERS, instance_control, worker_inbox
from fanout.workers import (
    PresenceDigest,
    PresenceSetRequest,
    RoutingConfirmed,
    WorkerNotice,
    decode_digest,
    decode_presence_set_page,
)
from services.notification.admission import InstanceLimits
from services.notification.instance import NotificationInstance, NotificationPorts
from services.notification.session import Session
from services.runtime.tasks import Tasks, periodic

INSTANCE: Final = "notif-1"
WORKER: Final = "worker-1"
_NOTICE_EVERY_S: Final = 0.3
_EXPIRES_AT: Final = 4e9


class _FakeWorker:
    """A worker as an instance knows it: notices, a confirmation for each user, and requests for all users."""

    def __init__(self, stores: Stores, tasks: Tasks) -> None:
        self._stores = stores
        self._tasks = tasks
        self.users: list[str] = []
        self.whole = False
        self.digest: PresenceDigest | None = None

    async def start(self) -> None:
        await self._stores.bus.subscribe(worker_inbox(WORKER), self._on_users)
        await self._stores.bus.subscribe(PRESENCE_DIGESTS, self._on_digest)
        await self._stores.presence.watch(self._on_hint)
        self._tasks.start(periodic(_NOTICE_EVERY_S, self._publish_notice, "publishing notices"), "notices")

    async def ask(self, number: int) -> None:
        self.users, self.whole = [], False
        request = msgspec.json.encode(PresenceSetRequest(WORKER, str(number)))
        await self._stores.bus.publish(instance_control(INSTANCE), request)

    async def _publish_notice(self) -> None:
        await self._stores.bus.publish(WORKERS, msgspec.json.encode(WorkerNotice(WORKER, ready=True, partitions=[])))

    def _on_hint(self, change: PresenceChange) -> None:
        if change.online:
            placed = msgspec.json.encode(RoutingConfirmed(WORKER, [change.user_id]))
            self._tasks.start(self._stores.bus.publish(instance_control(INSTANCE), placed), "confirming")

    def _on_digest(self, _subject: str, payload: bytes) -> None:
        self.digest = decode_digest(payload)

    def _on_users(self, _subject: str, payload: bytes) -> None:
        page = decode_presence_set_page(payload)
        self.users += page.users
        self.whole = page.last


class _FakeSocket:
    """The socket port without a network: it reads everything at once, and closes when it is told to."""

    authorization: str | None = None
    buffered = 0

    def __init__(self, user_id: str) -> None:
        self.bytes_read = 0
        self.closed_with: int | None = None
        self._frames: asyncio.Queue[str | None] = asyncio.Queue()
        auth = {"type": "auth", "token": user_id, "device_id": new_device_id()}
        self._frames.put_nowait(msgspec.json.encode(auth).decode())

    def write(self, frames: bytes) -> None:
        self.bytes_read += len(frames)

    def acquire_descriptor(self, on_change: Callable[[bool], None]) -> int | None:  # noqa: ARG002 - as the port has it
        return None

    def allow_large_messages(self) -> None:
        return

    async def receive(self) -> str:
        frame = await self._frames.get()
        if frame is None:
            raise SocketClosed
        return frame

    async def close(self, code: int, reason: str) -> None:  # noqa: ARG002 - as the port has it
        self.closed_with = code
        self.hang_up()

    def hang_up(self) -> None:
        self._frames.put_nowait(None)


class _AnyToken:
    async def verify(self, token: str) -> Identity:
        return Identity(token, time.time() + 3_600)


def instance_presence(settings: StallsSettings, leader: Leader) -> Stalls:
    """Ask an instance with very many users for all of them, while it publishes digests."""
    return on_a_loop(_presence(settings, leader))


def instance_visits(settings: StallsSettings, leader: Leader) -> Stalls:
    """Let a user of very many channels connect and go."""
    return on_a_loop(_visits(settings, leader))


async def _presence(settings: StallsSettings, leader: Leader) -> Stalls:
    users = [f"user-{number:07d}" for number in range(settings.users)]
    async with _running(0, settings.users + 1) as (instance, worker):
        for user in users:
            session = Session(_FakeSocket(user), Identity(user, _EXPIRES_AT), "phone", INSTANCE, budget=1 << 20)
            instance.registry.add(session)
            await asyncio.sleep(0)
        digest = await asyncio.to_thread(presence_digest, users)
        leader.send(READY)
        await leader.receive_async()
        async with watched() as watch:
            for number in range(2 * settings.rounds):
                worker.digest = None
                await worker.ask(number)
                await until(lambda: worker.whole and worker.digest is not None, "the presence set and a digest come")
                with watch.ignoring():
                    await _require_all(worker, users, digest)
        return watch.result()


async def _require_all(worker: _FakeWorker, users: list[str], digest: tuple[int, int]) -> None:
    if await asyncio.to_thread(sorted, worker.users) != users:
        raise WrongOutcomeError(f"the presence set does not have the {len(users):,} users who are here")
    told = worker.digest
    if told is None or (told.users, told.digest) != digest:
        raise WrongOutcomeError("the digest is not that of the users who are here")


async def _visits(settings: StallsSettings, leader: Leader) -> Stalls:
    async with _running(settings.channels, 10) as (instance, _):
        leader.send(READY)
        await leader.receive_async()
        await _visit(instance, settings.channels)  # the first one's memory is new to the process
        async with watched() as watch:
            for _ in range(settings.rounds):
                await _visit(instance, settings.channels)
        return watch.result()


async def _visit(instance: NotificationInstance, channels: int) -> None:
    client, registry = _FakeSocket(VISITOR), instance.registry
    some = [channel_name(number) for number in range(0, channels, max(1, channels // 10))]
    serving = asyncio.create_task(instance.serve(client))
    await until(lambda: client.bytes_read > 0 or client.closed_with is not None, "the visitor is admitted")
    if client.closed_with is not None or not all(registry.is_member(VISITOR, name) for name in some):
        raise WrongOutcomeError(f"the visitor was closed with {client.closed_with}, or does not read all channels")
    client.hang_up()
    await serving
    if any(registry.is_member(VISITOR, name) for name in some) or len(registry):
        raise WrongOutcomeError("the visitor has gone, and still reads channels")


@asynccontextmanager
async def _running(channels: int, capacity: int) -> AsyncIterator[tuple[NotificationInstance, _FakeWorker]]:
    failures: list[BaseException] = []
    terms = InstanceLimits(INSTANCE, capacity, auth_timeout_s=10, heartbeat_s=30, socket_budget=1 << 20)
    async with opened(channels) as stores, Tasks(failures.append) as tasks:
        worker = _FakeWorker(stores, tasks)
        await worker.start()
        ports = NotificationPorts(
            log=stores.log,
            bus=stores.bus,
            connections=stores.presence,
            leases=stores.presence,
            hints=stores.presence,
            memberships=stores.memberships,
            authenticator=_AnyToken(),
        )
        instance = NotificationInstance(terms, ports, tasks, heartbeat_timeout_s=3_600)
        await instance.start("ws://127.0.0.1:1/ws")
        yield instance, worker
    if failures:
        raise WrongOutcomeError(f"the instance failed: {failures[0]}")
