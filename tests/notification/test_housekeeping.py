"""The chores of an instance: its lease, its connections renewed, and clients that fell silent."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from fanout import Unavailable
from fanout.keys import LEASE_TTL_S
from fanout.ports.authenticator import Identity
from fanout.ports.presence import Connection, Lease
from services.adapters.embedded.bus import EmbeddedBus
from services.notification import housekeeping
from services.notification.close_codes import HEARTBEAT_TIMEOUT, UNAUTHENTICATED
from services.notification.control import Control
from services.notification.housekeeping import Housekeeping, InstanceReplaced, LeaseEnded
from services.notification.metrics import LEASE_HELD, LEASE_RENEWALS_FAILED
from services.notification.registry import Registry
from services.notification.routing_barrier import RoutingBarrier
from services.notification.session import Session
from services.runtime.tasks import Tasks
from tests.support.faulty import FaultyPresence
from tests.support.platform import Client


class Presence(FaultyPresence):
    """Notes which connections are renewed."""

    def __init__(self) -> None:
        super().__init__()
        self.renewed: list[list[Connection]] = []

    def refuse_writes(self) -> None:
        """Refuse them as a Redis without memory does, until `outcomes` is cleared."""
        full = Unavailable("OOM command not allowed when used memory > 'maxmemory'")
        self.outcomes |= {"lease": full, "renew": full}

    async def renew(self, connections: Sequence[Connection]) -> None:
        await super().renew(connections)
        self.renewed.append(list(connections))

    async def current(self) -> Lease:
        """The lease of the instance."""
        return (await self.leases())["notif-1"]


class Rig:
    def __init__(self, tasks: Tasks) -> None:
        self.now = 1_000.0
        self.bus = EmbeddedBus()
        self.presence = Presence()
        self.registry = Registry()
        confirmations = RoutingBarrier("notif-1", self.presence, self.bus)
        self.control = Control("notif-1", self.bus, self.registry, confirmations, tasks)
        self.housekeeping = Housekeeping(
            "notif-1",
            self.registry,
            self.control,
            self.presence,
            capacity=10,
            heartbeat_timeout_s=90,
            clock=lambda: self.now,
        )

    def session(self, user_id: str, *, expires_in: float = 3_600.0) -> Session:
        client = Client(user_id)
        session = Session(client, Identity(user_id, time.time() + expires_in), client.device_id, "notif-1", 1 << 20)
        self.registry.add(session)
        return session

    async def is_refused(self) -> bool:
        try:
            await self.housekeeping.renew_lease()
        except Unavailable:
            return True
        return False


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Tasks(lambda _: None) as tasks:
        yield Rig(tasks)


async def test_the_lease_says_who_and_how_much_room(rig: Rig) -> None:
    rig.housekeeping.address = "ws://here/ws"
    rig.session("alice")
    await rig.housekeeping.renew_lease()
    lease = await rig.presence.current()
    assert (lease.incarnation, lease.address) == (rig.control.incarnation, "ws://here/ws")
    assert (lease.connections, lease.capacity) == (1, 10)


async def test_a_lease_that_cannot_be_renewed_shows_when_it_has_ended(rig: Rig) -> None:
    with pytest.raises(LeaseEnded):
        await rig.housekeeping.check_lease()
    await rig.housekeeping.renew_lease()
    failed = LEASE_RENEWALS_FAILED._value.get()
    rig.presence.refuse_writes()
    rig.now += LEASE_TTL_S
    assert await rig.is_refused()
    await rig.housekeeping.check_lease()
    assert LEASE_HELD._value.get() == 1
    rig.now += 1
    assert await rig.is_refused()
    assert (LEASE_HELD._value.get(), LEASE_RENEWALS_FAILED._value.get()) == (0, failed + 2)
    with pytest.raises(LeaseEnded, match="not renewed for 10 s: OOM command not allowed"):
        await rig.housekeeping.check_lease()
    rig.presence.outcomes.clear()
    assert not await rig.is_refused()
    await rig.housekeeping.check_lease()
    assert LEASE_HELD._value.get() == 1


async def test_a_lease_that_was_given_up_is_not_taken_again_and_is_not_missed(rig: Rig) -> None:
    await rig.housekeeping.renew_lease()
    await rig.housekeeping.end_lease()
    await rig.housekeeping.renew_lease()
    assert await rig.presence.leases() == {}
    rig.now += 2 * LEASE_TTL_S
    await rig.housekeeping.check_lease()
    assert LEASE_HELD._value.get() == 0


async def test_a_store_that_is_away_does_not_keep_an_instance_from_stopping(rig: Rig) -> None:
    rig.presence.down = True
    await rig.housekeeping.end_lease()


@pytest.mark.parametrize(("started_at", "yields"), [("9999-01-01", True), ("0001-01-01", False)])
async def test_of_two_instances_by_one_name_the_later_stays(rig: Rig, started_at: str, *, yields: bool) -> None:
    await rig.presence.lease(Lease("notif-1", "another", "", started_at, 0, 0))
    if yields:
        with pytest.raises(InstanceReplaced, match="give each its own FANOUT_INSTANCE_ID"):
            await rig.housekeeping.renew_lease()
    else:
        await rig.housekeeping.renew_lease()
    assert ((await rig.presence.current()).incarnation == "another") == yields


@pytest.mark.parametrize(("incarnation", "yields"), [("7ZZZ", True), ("0000", False)])
async def test_of_two_that_started_in_the_same_millisecond_one_stays(
    rig: Rig, incarnation: str, *, yields: bool
) -> None:
    await rig.housekeeping.renew_lease()
    own = await rig.presence.current()
    await rig.presence.lease(Lease("notif-1", incarnation, "", own.started_at, 0, 0))
    if yields:
        with pytest.raises(InstanceReplaced):
            await rig.housekeeping.renew_lease()
    else:
        await rig.housekeeping.renew_lease()
        assert (await rig.presence.current()).incarnation == own.incarnation


async def test_one_that_was_replaced_leaves_the_lease_of_the_other(rig: Rig) -> None:
    await rig.presence.lease(Lease("notif-1", "another", "", "9999-01-01", 0, 0))
    await rig.housekeeping.end_lease()
    assert (await rig.presence.current()).incarnation == "another"


async def test_connections_that_were_heard_are_renewed_some_at_a_time(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "RENEWED_AT_ONCE", 3)
    sessions = [rig.session(f"user-{number}") for number in range(8)]
    for session in sessions[:7]:
        rig.housekeeping.heard(session)
    sessions[0].end(4400, "it goes")
    await rig.housekeeping._renew_connections()
    assert max(map(len, rig.presence.renewed)) == 3
    renewed = sorted(connection.user_id for some in rig.presence.renewed for connection in some)
    assert renewed == [f"user-{number}" for number in range(1, 7)]
    await rig.housekeeping._renew_connections()
    assert sum(map(len, rig.presence.renewed)) == 6, "each once for a heartbeat"


async def test_connections_that_could_not_be_renewed_are_renewed_later(rig: Rig) -> None:
    rig.housekeeping.heard(rig.session("alice"))
    rig.presence.refuse_writes()
    with pytest.raises(Unavailable):
        await rig.housekeeping._renew_connections()
    rig.presence.outcomes.clear()
    await rig.housekeeping._renew_connections()
    assert [connection.user_id for some in rig.presence.renewed for connection in some] == ["alice"]


async def test_silent_clients_and_expired_tokens_are_closed_and_the_others_stay(rig: Rig) -> None:
    silent, expired, fine = rig.session("silent"), rig.session("expired", expires_in=-1), rig.session("fine")
    silent.heard_at -= 91
    await rig.housekeeping._sweep()
    endings = [session.ending.code if session.ending else None for session in (silent, expired, fine)]
    assert endings == [HEARTBEAT_TIMEOUT, UNAUTHENTICATED, None]


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
