"""The part of a worker that follows instances, and instances as it knows them: by leases, digests and presence sets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from fanout import Engine, presence_digest
from fanout.ports.presence import Lease
from fanout.subjects import PRESENCE_DIGESTS, PRESENCE_HINTS, instance_control, worker_inbox
from fanout.workers import PresenceChange, PresenceDigest, PresenceSetPage, PresenceSetRequest, decode_control
from services.fan_out.contact import Contact
from services.fan_out.presence_applier import PresenceApplier
from services.fan_out.reconciler import Reconciler
from services.fan_out.routing_confirmations import RoutingConfirmations
from services.fan_out.suspensions import Suspensions
from services.runtime.tasks import Tasks
from tests.support.faulty import FaultyBus, FaultyMemberships, FaultyPresence, faulty_memberships
from tests.support.observing import until

FIRST, SECOND = "01HZ0000000000000000000001", "01HZ0000000000000000000002"


class Instance:
    """A notification instance as the bus and the presence store know it."""

    def __init__(self, rig: "Rig", name: str, users: list[str], incarnation: str = FIRST) -> None:
        self.rig = rig
        self.name = name
        self.users = users
        self.incarnation = incarnation
        self.answers = True
        self.announced: int | None = None
        """The newest hint that its presence sets contain; None for the newest one that the rig published."""
        self.asked = 0

    async def start(self) -> "Instance":
        await self.rig.bus.subscribe(instance_control(self.name), self._hear)
        return self

    def _hear(self, _subject: str, payload: bytes) -> None:
        message = decode_control(payload)
        if isinstance(message, PresenceSetRequest) and self.answers:
            self.asked += 1
            unchanged = message.known == presence_digest(self.users)
            self.rig.tasks.start(self.send_presence_set(message.request, unchanged=unchanged), "presence set")

    async def send_presence_set(self, request: str, *, unchanged: bool = False) -> None:
        if unchanged:
            whole = PresenceSetPage(
                self.name,
                self.incarnation,
                request,
                0,
                last=True,
                users=[],
                announced=self._newest_hint(),
                unchanged=True,
            )
            await self._send_page(whole)
            return
        newest = self._newest_hint()
        pages = [self.users[at : at + 3] for at in range(0, len(self.users), 3)] or [[]]
        for number, page in enumerate(pages):
            last = number == len(pages) - 1
            await self._send_page(PresenceSetPage(self.name, self.incarnation, request, number, last, page, newest))

    async def _send_page(self, page: PresenceSetPage) -> None:
        await self.rig.bus.publish(worker_inbox("worker-1"), msgspec.json.encode(page))

    async def digest(self, *, stopped: bool = False) -> None:
        users, digest = presence_digest(self.users)
        notice = PresenceDigest(self.name, self.incarnation, users, digest, stopped)
        await self.rig.bus.publish(PRESENCE_DIGESTS, msgspec.json.encode(notice))
        await settle()

    def _newest_hint(self) -> int:
        return self.rig.hints if self.announced is None else self.announced

    async def lease(self) -> None:
        await self.rig.presence.lease(Lease(self.name, self.incarnation, "ws://", "2026", 0, 10))


class Rig:
    """The part of a worker that follows instances, with a clock that the test moves."""

    def __init__(self, tasks: Tasks, memberships: FaultyMemberships) -> None:
        self.now = 1_000.0
        self.silent = False
        """Whether the instances do not hear this worker."""
        self.hints = 0
        """The number of the newest hint, of whichever instance."""
        self.tasks = tasks
        self.bus = FaultyBus()
        self.presence = FaultyPresence(clock=lambda: self.now)
        self.engine = Engine()
        self.memberships = memberships
        self.presence_applier = PresenceApplier(
            self.engine, self.memberships, RoutingConfirmations("worker-1", self.bus, tasks, lambda: 0), tasks
        )
        self.contact = Contact(clock=lambda: self.now)
        self.suspensions = Suspensions(self.engine, self.contact)
        self.reconciler = Reconciler(
            "worker-1",
            self.engine,
            self.presence_applier,
            self.suspensions,
            leases=self.presence,
            bus=self.bus,
            tasks=tasks,
            clock=lambda: self.now,
        )

    async def start(self) -> None:
        self.presence_applier.start()
        self.reconciler.adopt()
        await self.reconciler.listen()

    async def look(self) -> None:
        notice_id = self.contact.sign()
        if not self.silent:
            self.contact.hear(notice_id)
        await self.reconciler.follow_leases()
        await settle()

    async def pass_time(self, seconds: float, *digesting: Instance) -> None:
        """Time goes by, with the looks and digests of each second."""
        for _ in range(round(seconds)):
            self.now += 1.0
            for instance in digesting:
                await instance.digest()
            await self.look()

    async def hint(
        self, user_id: str, instance: str, *, online: bool = True, incarnation: str = FIRST, number: int | None = None
    ) -> None:
        self.hints += number is None
        change = PresenceChange(user_id, online, instance, incarnation, number or self.hints)
        await self.bus.publish(PRESENCE_HINTS, msgspec.json.encode(change))
        await settle()

    def users(self, instance: str = "notif-1") -> list[str]:
        return self.engine.users(instance)

    async def instance(self, *users: str, name: str = "notif-1", incarnation: str = FIRST) -> Instance:
        return await Instance(self, name, list(users), incarnation).start()

    async def placed(self, *users: str) -> Instance:
        """An instance with a lease, whose users are in the table."""
        instance = await self.instance(*users)
        await instance.lease()
        await self.look()
        await until(lambda: self.users() == sorted(users) and self.reconciler.complete.is_set(), "placed")
        return instance


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


@asynccontextmanager
async def rig_without_start() -> AsyncIterator[Rig]:
    failures: list[BaseException] = []
    async with faulty_memberships() as memberships, Tasks(failures.append) as tasks:
        yield Rig(tasks, memberships)
    assert not failures
