"""A worker's loop, while a roster is reconciled, and while a user of very many channels comes and goes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import msgspec
from prometheus_client import REGISTRY

from benchmarks.live.stalls.loop_lag import Stalls, on_a_loop, watched
from benchmarks.live.stalls.stores import VISITOR, StallsSettings, Stores, WrongOutcomeError, opened, until
from benchmarks.processes import READY, Leader
from fanout import presence_digest
from fanout.events import timestamp
from fanout.keys import PresenceChange
from fanout.ports.presence import Lease
from fanout.subjects import PRESENCE_DIGESTS, instance_control, worker_inbox
from fanout.workers import PresenceDigest, PresenceSetPage, PresenceSetRequest, RoutingConfirmed, decode_control
from services.fan_out.worker import FanOutPorts, FanOutWorker, running_worker
from services.runtime.tasks import Tasks, periodic

INSTANCE: Final = "notif-1"
_INCARNATION: Final = "1"
_PAGE_USERS: Final = 4_000
_LEASE_EVERY_S: Final = 1.0
_DIGEST_EVERY_S: Final = 0.1
_PLACED: Final = "fanout_users_placed"


class _FakeInstance:
    """An instance as a worker knows it: a lease, digests, and its users for a worker that asks."""

    def __init__(self, stores: Stores, tasks: Tasks) -> None:
        self._stores = stores
        self._tasks = tasks
        self._users: list[str] = []
        self._digest = (0, 0)
        self.placed: set[str] = set()

    async def start(self) -> None:
        await self._stores.bus.subscribe(instance_control(INSTANCE), self._on_control)
        self._tasks.start(periodic(_LEASE_EVERY_S, self._renew, "renewing the lease"), "lease")
        self._tasks.start(periodic(_DIGEST_EVERY_S, self._publish_digest, "publishing the digest"), "digest")

    async def hold(self, users: Sequence[str]) -> None:
        """Have these users from now on; the worker learns it from the next digest."""
        digest = await asyncio.to_thread(presence_digest, users)  # the instance's work, and not the worker's
        self.placed.clear()
        self._users, self._digest = list(users), digest

    async def announce(self, *, online: bool) -> None:
        """Publish that the visitor comes or goes; the digest says the same."""
        await self.hold([VISITOR] if online else [])
        await self._stores.presence.announce([PresenceChange(VISITOR, online, INSTANCE)])

    async def _renew(self) -> None:
        lease = Lease(INSTANCE, _INCARNATION, "ws://127.0.0.1:1/ws", timestamp(), len(self._users), 1_000_000)
        await self._stores.presence.lease(lease)

    async def _publish_digest(self) -> None:
        await self._stores.bus.publish(
            PRESENCE_DIGESTS, msgspec.json.encode(PresenceDigest(INSTANCE, _INCARNATION, *self._digest))
        )

    def _on_control(self, _subject: str, payload: bytes) -> None:
        match decode_control(payload):
            case PresenceSetRequest() as request:
                self._tasks.start(self._send(request), "sending the presence set")
            case RoutingConfirmed(users=users):
                self.placed.update(users)

    async def _send(self, request: PresenceSetRequest) -> None:
        users = self._users
        for start in range(0, len(users) or 1, _PAGE_USERS):
            page = PresenceSetPage(
                INSTANCE,
                _INCARNATION,
                request.request,
                start // _PAGE_USERS,
                last=start + _PAGE_USERS >= len(users),
                users=users[start : start + _PAGE_USERS],
            )
            await self._stores.bus.publish(worker_inbox(request.worker), msgspec.json.encode(page))


def worker_presence(settings: StallsSettings, leader: Leader) -> Stalls:
    """Load the users of an instance, then replace half of them, of which no hint comes."""
    return on_a_loop(_presence(settings, leader))


def worker_visits(settings: StallsSettings, leader: Leader) -> Stalls:
    """Let a user of very many channels come and go."""
    return on_a_loop(_visits(settings, leader))


async def _presence(settings: StallsSettings, leader: Leader) -> Stalls:
    users = [f"user-{number:07d}" for number in range(settings.users * 3 // 2)]
    halves = [users[: settings.users], users[settings.users // 2 : settings.users // 2 + settings.users]]
    async with _running(channels=0) as (instance, worker):
        leader.send(READY)
        await leader.receive_async()
        async with watched() as watch:
            for turn in range(2 * settings.rounds):
                coming = settings.users if turn == 0 else settings.users // 2
                with watch.ignoring():
                    await instance.hold(halves[turn % 2])
                await until(partial(_placed_all, instance, coming), "the users are reconciled")
                with watch.ignoring():
                    await until(partial(_holds, worker, halves[turn % 2]), "the table has exactly these users")
        return watch.result()


def _holds(worker: FanOutWorker, expected: Sequence[str]) -> bool:
    return worker.users_on(INSTANCE) == sorted(expected)


async def _visits(settings: StallsSettings, leader: Leader) -> Stalls:
    async with _running(settings.channels) as (instance, worker):
        leader.send(READY)
        await leader.receive_async()
        await _visit(worker, instance)  # the first one's memory is new to the process, which the machine has to give it
        async with watched() as watch:
            for _ in range(settings.rounds):
                await _visit(worker, instance)
        return watch.result()


async def _visit(worker: FanOutWorker, instance: _FakeInstance) -> None:
    await instance.announce(online=True)
    await until(lambda: VISITOR in instance.placed, "the visitor is placed")
    _require(worker, [VISITOR])
    await instance.announce(online=False)
    await until(lambda: _placed() == 0, "the visitor is taken off")
    _require(worker, [])


def _placed_all(instance: _FakeInstance, coming: int) -> bool:
    return len(instance.placed) == coming


def _require(worker: FanOutWorker, expected: list[str]) -> None:
    if not _holds(worker, expected):
        raise WrongOutcomeError(f"the table should have {expected} there, and has {worker.users_on(INSTANCE)}")


def _placed() -> int:
    return int(REGISTRY.get_sample_value(_PLACED) or 0)


@asynccontextmanager
async def _running(channels: int) -> AsyncIterator[tuple[_FakeInstance, FanOutWorker]]:
    failures: list[BaseException] = []
    async with opened(channels) as stores, Tasks(failures.append) as tasks:
        instance = _FakeInstance(stores, tasks)
        await instance.start()
        ports = FanOutPorts(stores.log, stores.bus, stores.presence, stores.presence, stores.memberships)
        async with running_worker("worker-1", ports, failures.append) as worker:
            await until(worker.ready.is_set, "the worker is ready")
            yield instance, worker
    if failures:
        raise WrongOutcomeError(f"the worker failed: {failures[0]}")
