"""The periodic tasks of an instance: connections renewed, silent clients and expired tokens closed."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from fanout import Unavailable
from fanout.error_codes import CloseCode
from fanout.ports.presence import DeviceConnection
from services.adapters.embedded.bus import EmbeddedBus
from services.notification import housekeeping
from services.notification.channel_lists import ChannelLists
from services.notification.control import Control
from services.notification.device_sessions import DeviceSessions
from services.notification.housekeeping import Housekeeping
from services.notification.lease_keeper import LeaseKeeper
from services.notification.registry import Registry
from services.notification.routing_barrier import RoutingBarrier
from services.notification.session import Session
from services.runtime.tasks import Tasks
from tests.support.faulty import NO_DEVICES, FaultyPresence
from tests.support.sessions import session_of


class Presence(FaultyPresence):
    """Notes what is renewed."""

    def __init__(self) -> None:
        super().__init__()
        self.renewed: list[list[DeviceConnection]] = []

    async def renew(self, connections: Sequence[DeviceConnection]) -> None:
        await super().renew(connections)
        self.renewed.append(list(connections))


class Rig:
    def __init__(self, tasks: Tasks) -> None:
        self.presence = Presence()
        self.registry = Registry()
        bus = EmbeddedBus()
        barrier = RoutingBarrier("notif-1", "first", bus)
        lists = ChannelLists("notif-1", bus, barrier)
        self.device_sessions = DeviceSessions(NO_DEVICES, bus)
        control = Control("notif-1", "first", bus, self.registry, barrier, lists, self.device_sessions, tasks)
        lease_keeper = LeaseKeeper("notif-1", "first", self.registry, self.presence, capacity=10)
        self.housekeeping = Housekeeping(
            self.registry, control, lease_keeper, self.presence, self.device_sessions, heartbeat_timeout_s=90
        )

    def session(self, user_id: str, *, expires_in: float = 3_600.0) -> Session:
        session = session_of(user_id, expires_at=time.time() + expires_in)
        self.registry.add(session)
        return session


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Tasks(lambda _: None) as tasks:
        yield Rig(tasks)


async def test_connections_that_were_heard_are_renewed_some_at_a_time(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "RENEWED_AT_ONCE", 3)
    sessions = [rig.session(f"user-{number}") for number in range(8)]
    for session in sessions[:7]:
        rig.housekeeping.renew_soon(session)
    sessions[0].end(CloseCode.MALFORMED, "it goes")
    await rig.housekeeping._renew_connections()
    assert max(map(len, rig.presence.renewed)) == 3
    renewed = sorted(connection.user_id for some in rig.presence.renewed for connection in some)
    assert renewed == [f"user-{number}" for number in range(1, 7)]
    await rig.housekeeping._renew_connections()
    assert sum(map(len, rig.presence.renewed)) == 6, "each once for a heartbeat"


async def test_connections_that_could_not_be_renewed_are_renewed_later(rig: Rig) -> None:
    rig.housekeeping.renew_soon(rig.session("alice"))
    rig.presence.down = True
    with pytest.raises(Unavailable):
        await rig.housekeeping._renew_connections()
    rig.presence.down = False
    await rig.housekeeping._renew_connections()
    assert [connection.user_id for some in rig.presence.renewed for connection in some] == ["alice"]


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
