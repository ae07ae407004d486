"""The lease of an instance: taken, renewed, missed, released, and disputed by another process."""

import pytest

from fanout import Unavailable
from fanout.keys import LEASE_TTL_S
from fanout.ports.presence import Lease
from services.notification.lease_keeper import InstanceReplaced, LeaseEnded, LeaseKeeper
from services.notification.metrics import LEASE_HELD, LEASE_RENEWALS_FAILED
from services.notification.registry import Registry
from tests.support.faulty import FaultyPresence
from tests.support.sessions import session_of

INCARNATION = "5MID"


class Rig:
    """A lease keeper whose clock the test moves; the store's own clock stands still."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.taken: list[float] = []
        self.presence = FaultyPresence(clock=lambda: 0.0)
        self.registry = Registry()
        self.keeper = LeaseKeeper(
            "notif-1",
            INCARNATION,
            self.registry,
            self.presence,
            capacity=10,
            on_taken=lambda: self.taken.append(self.now),
            clock=lambda: self.now,
        )

    async def held(self) -> Lease:
        return (await self.presence.leases())["notif-1"]

    async def is_refused(self) -> bool:
        try:
            await self.keeper.renew()
        except Unavailable:
            return True
        return False


@pytest.fixture
async def rig() -> Rig:
    return Rig()


async def test_the_lease_says_who_and_how_much_room(rig: Rig) -> None:
    rig.keeper.address = "ws://here/ws"
    rig.registry.add(session_of("alice"))
    await rig.keeper.renew()
    lease = await rig.held()
    assert (lease.incarnation, lease.address) == (INCARNATION, "ws://here/ws")
    assert (lease.connections, lease.capacity) == (1, 10)


async def test_a_lease_that_cannot_be_renewed_shows_when_it_has_ended(rig: Rig) -> None:
    with pytest.raises(LeaseEnded):
        await rig.keeper.check()
    await rig.keeper.renew()
    failed = LEASE_RENEWALS_FAILED._value.get()
    rig.presence.outcomes["lease"] = Unavailable("out of memory")
    rig.now += LEASE_TTL_S
    assert await rig.is_refused()
    await rig.keeper.check()
    assert LEASE_HELD._value.get() == 1
    rig.now += 1
    assert await rig.is_refused()
    assert (LEASE_HELD._value.get(), LEASE_RENEWALS_FAILED._value.get()) == (0, failed + 2)
    with pytest.raises(LeaseEnded, match="not renewed for 10 s: out of memory"):
        await rig.keeper.check()
    del rig.presence.outcomes["lease"]
    assert not await rig.is_refused()
    await rig.keeper.check()
    assert LEASE_HELD._value.get() == 1


async def test_a_lease_that_was_given_up_is_not_taken_again_and_is_not_missed(rig: Rig) -> None:
    await rig.keeper.renew()
    await rig.keeper.end()
    await rig.keeper.renew()
    assert await rig.presence.leases() == {}
    rig.now += 2 * LEASE_TTL_S
    await rig.keeper.check()
    assert LEASE_HELD._value.get() == 0


async def test_a_store_that_is_away_does_not_keep_an_instance_from_stopping(rig: Rig) -> None:
    rig.presence.down = True
    await rig.keeper.end()


@pytest.mark.parametrize(("started_at", "yields"), [("9999-01-01", True), ("0001-01-01", False)])
async def test_of_two_instances_by_one_name_the_later_stays(rig: Rig, started_at: str, *, yields: bool) -> None:
    await rig.presence.lease(Lease("notif-1", "another", "", started_at, 0, 0))
    if yields:
        with pytest.raises(InstanceReplaced, match="give each its own FANOUT_INSTANCE_ID"):
            await rig.keeper.renew()
    else:
        await rig.keeper.renew()
    assert ((await rig.held()).incarnation == "another") == yields


@pytest.mark.parametrize(("incarnation", "yields"), [("7ZZZ", True), ("0000", False)])
async def test_of_two_that_started_in_the_same_millisecond_one_stays(
    rig: Rig, incarnation: str, *, yields: bool
) -> None:
    await rig.keeper.renew()
    own = await rig.held()
    await rig.presence.lease(Lease("notif-1", incarnation, "", own.started_at, 0, 0))
    if yields:
        with pytest.raises(InstanceReplaced):
            await rig.keeper.renew()
    else:
        await rig.keeper.renew()
        assert (await rig.held()).incarnation == own.incarnation


async def test_one_that_was_replaced_leaves_the_lease_of_the_other(rig: Rig) -> None:
    await rig.presence.lease(Lease("notif-1", "another", "", "9999-01-01", 0, 0))
    await rig.keeper.end()
    assert (await rig.held()).incarnation == "another"
