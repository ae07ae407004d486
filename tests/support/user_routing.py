"""`UserRouting` in an instance without sockets, and one worker that confirms when the test says so."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import msgspec
import pytest

from fanout.events import Message, MessageEvent, encode, timestamp
from fanout.ids import new_event_id, new_message_id
from fanout.ports.memberships import Channel
from fanout.subjects import WORKERS, message
from fanout.workers import RoutingConfirmed, WorkerNotice
from services.notification import routing_barrier
from services.notification.inbox import Inbox
from services.notification.registry import Registry
from services.notification.routing_barrier import RoutingBarrier
from services.notification.session import Session
from services.notification.subscribing import subscribe
from services.notification.user_events import UserEvents
from services.notification.user_routing import UserRouting
from services.runtime import tasks as tasks_module
from services.runtime.health import Degraded
from services.runtime.membership_order import MembershipOrder
from services.runtime.tasks import Tasks
from tests.support.faulty import FaultyBus, FaultyLog, FaultyMemberships, faulty_log, faulty_memberships
from tests.support.harness import Client
from tests.support.observing import until
from tests.support.sessions import session_of

REFRESH = {"type": "full_refresh_required", "tier": 4, "reason": "gap"}


class Rig:
    """UserRouting in an instance without sockets; one worker reads, and confirms when the test says so."""

    def __init__(self, log: FaultyLog, memberships: FaultyMemberships, tasks: Tasks) -> None:
        self.log = log
        self.memberships = memberships
        self.tasks = tasks
        self.bus = FaultyBus()
        self.registry = Registry()
        order = MembershipOrder(memberships)
        self.inbox = Inbox("notif-1", self.bus, log, self.registry, order, UserEvents(self.registry))
        self.barrier = RoutingBarrier("notif-1", "first", self.bus, clock=lambda: 0.0)
        self.user_routing = UserRouting(self.registry, self.inbox, self.barrier, memberships, log, tasks)

    async def start(self) -> None:
        listening = asyncio.create_task(self.barrier.listen())
        await asyncio.sleep(0)
        await self.bus.publish(WORKERS, msgspec.json.encode(WorkerNotice("worker-1", ready=True, partitions={})))
        await listening
        await self.memberships.create(
            Channel("general", "general", private=False, created_by="owner", created_at=timestamp()), ["owner"]
        )

    async def enter(self, user_id: str, *, confirmed: bool = False) -> Session:
        """Add a session that was told `auth.ok`, and announce its user if it is the first one."""
        session = session_of(user_id)
        first = not self.registry.sessions_of(user_id)
        self.registry.add(session)
        if first and not confirmed:
            await self.user_routing.announce_arrival(session)
        await subscribe(session, self.registry, self.inbox, self.memberships)
        self.registry.write_queue.open(session, b"")
        return session

    async def leave(self, session: Session) -> None:
        await self.registry.remove(session)
        if not self.registry.sessions_of(session.user_id):
            await self.user_routing.forget(session.user_id)

    def confirm(self, *users: str, members_upto: int = 0) -> None:
        self.barrier.confirm(
            RoutingConfirmed("worker-1", "first", dict.fromkeys(users, self.barrier.announced), members_upto)
        )

    def is_told_when_applied(self, seq: int) -> bool:
        """Confirm everybody by a worker that has applied the changes up to there; returns whether nobody waits."""
        self.confirm(*self.barrier._waiting, members_upto=seq)
        return not self.user_routing._unconfirmed

    async def change_unheard(self, *users: str) -> None:
        """Users join, and the event of it does not come to this instance."""
        await self.memberships.add("general", list(users), timestamp())

    async def deliver_everything(self) -> None:
        """One event more is stored, and delivery has come to the end of the log."""
        body = Message(new_message_id(), "general", "owner", "text", timestamp())
        event = MessageEvent(new_event_id(), "message.new", "general", msgspec.Raw(encode(body)))
        await self.log.append(message("general"), encode(event), msg_id=event.event_id)
        await self.inbox.rebase()

    async def is_degraded(self) -> bool:
        with suppress(Degraded):
            await self.user_routing.check()
            return False
        return True

    async def all_confirmed(self) -> None:
        await until(lambda: not self.user_routing._unconfirmed, "everybody is confirmed")

    def waiting(self) -> int:
        """How many tasks wait for confirmations."""
        return sum(task.get_name() == "confirming routing late" for task in asyncio.all_tasks())

    def frames(self, session: Session) -> list[dict[str, Any]]:
        self.registry.write_queue.flush(session)
        return cast("Client", session.socket).frames


def be_impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses between hints, and between attempts."""
    monkeypatch.setattr(routing_barrier, "ANNOUNCE_AGAIN_AFTER_S", (0.01, 0.01))
    monkeypatch.setattr(routing_barrier, "ANNOUNCE_LATE_AFTER_S", (0.02,))
    monkeypatch.setattr(tasks_module, "LONGEST_DELAY_S", 0.02)


@asynccontextmanager
async def opened_rig() -> AsyncIterator[Rig]:
    failures: list[BaseException] = []
    async with faulty_log(partitions=1) as log, faulty_memberships() as memberships, Tasks(failures.append) as tasks:
        built = Rig(log, memberships, tasks)
        await built.start()
        yield built
    assert not failures
