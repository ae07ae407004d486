"""The periodic tasks of an instance: silent clients and expired tokens are closed."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from fanout.error_codes import CloseCode
from services.adapters.embedded.bus import EmbeddedBus
from services.adapters.embedded.presence import EmbeddedPresence
from services.notification import housekeeping
from services.notification.channel_lists import ChannelLists
from services.notification.connection_records import ConnectionRecords
from services.notification.control import Control
from services.notification.device_sessions import DeviceSessions
from services.notification.housekeeping import Housekeeping
from services.notification.lease_keeper import LeaseKeeper
from services.notification.presence_publisher import PresencePublisher
from services.notification.presence_sweep import PresenceSweep
from services.notification.registry import Registry
from services.notification.routing_barrier import RoutingBarrier
from services.notification.session import Session
from services.runtime.tasks import Tasks
from tests.support.faulty import NO_DEVICES
from tests.support.sessions import session_of


class Rig:
    def __init__(self, tasks: Tasks) -> None:
        presence = EmbeddedPresence()
        self.registry = Registry()
        bus = EmbeddedBus()
        barrier = RoutingBarrier("notif-1", "first", bus)
        lists = ChannelLists("notif-1", bus, barrier)
        self.device_sessions = DeviceSessions(NO_DEVICES, bus)
        control = Control("notif-1", "first", bus, self.registry, barrier, lists, self.device_sessions, tasks)
        publisher = PresencePublisher(bus)
        records = ConnectionRecords("first", presence, self.registry, publisher, bus)
        sweep = PresenceSweep(presence, publisher)
        lease_keeper = LeaseKeeper("notif-1", "first", self.registry, presence, capacity=10, on_taken=records.renew_all)
        self.housekeeping = Housekeeping(
            self.registry,
            control,
            lease_keeper,
            records,
            self.device_sessions,
            publisher,
            sweep,
            heartbeat_timeout_s=90,
        )

    def session(self, user_id: str, *, expires_in: float = 3_600.0) -> Session:
        session = session_of(user_id, expires_at=time.time() + expires_in)
        self.registry.add(session)
        return session


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Tasks(lambda _: None) as tasks:
        yield Rig(tasks)


async def test_silent_clients_and_expired_tokens_are_closed_and_the_others_stay(rig: Rig) -> None:
    silent, expired, fine = rig.session("silent"), rig.session("expired", expires_in=-1), rig.session("fine")
    silent.heard_at -= 91
    await rig.housekeeping._sweep()
    endings = [session.ending.code if session.ending else None for session in (silent, expired, fine)]
    assert endings == [CloseCode.HEARTBEAT_TIMEOUT, CloseCode.UNAUTHENTICATED, None]


async def test_a_client_that_goes_while_all_are_looked_at_is_not_closed_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = rig.session("first"), rig.session("second")
    second.heard_at -= 91

    class GoneMeanwhile:
        async def breathe(self) -> None:
            await asyncio.sleep(0)
            await rig.registry.remove(second)

    monkeypatch.setattr(housekeeping, "TimeSlice", GoneMeanwhile)
    await rig.housekeeping._sweep()
    assert (first.ending, second.ending) == (None, None)
