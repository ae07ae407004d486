"""The contract of `fanout.ports.presence.Leases`, over every adapter."""

import pytest

from fanout.keys import LEASE_TTL_S
from fanout.ports.presence import Leases
from tests.support.presence_worlds import World, lease_of


@pytest.fixture
def leases(world: World) -> Leases:
    return world.leases


async def test_leases_are_found_whole(leases: Leases) -> None:
    assert await leases.leases() == {"notif-1": lease_of("notif-1"), "notif-2": lease_of("notif-2")}


async def test_a_lease_renewed_says_what_is_true_now(leases: Leases) -> None:
    await leases.lease(lease_of("notif-1", connections=7))
    assert (await leases.leases())["notif-1"].connections == 7


async def test_a_lease_ends_by_itself(world: World) -> None:
    await world.elapse(LEASE_TTL_S - 2)
    await world.leases.lease(lease_of("notif-2"))
    await world.elapse(3)
    assert set(await world.leases.leases()) == {"notif-2"}


async def test_a_lease_that_ended_can_be_taken_again(world: World) -> None:
    await world.elapse(LEASE_TTL_S + 1)
    assert await world.leases.leases() == {}
    await world.leases.lease(lease_of("notif-1"))
    assert set(await world.leases.leases()) == {"notif-1"}


async def test_a_released_lease_ends_at_once(leases: Leases) -> None:
    await leases.release("notif-1")
    await leases.release("never-there")
    assert set(await leases.leases()) == {"notif-2"}


async def test_an_open_store_answers(leases: Leases) -> None:
    await leases.ping()


async def test_a_lease_says_whether_it_was_taken(world: World) -> None:
    assert not await world.leases.lease(lease_of("notif-1"))
    assert await world.leases.lease(lease_of("notif-1", incarnation="next"))
    assert not await world.leases.lease(lease_of("notif-1", incarnation="next"))
    await world.elapse(LEASE_TTL_S + 1)
    assert await world.leases.lease(lease_of("notif-1", incarnation="next"))
