"""The contract of `fanout.ports.presence.Connections`, over every adapter."""

from dataclasses import replace

import pytest

from fanout.keys import CONNECTION_TTL_S
from fanout.ports.presence import Connections
from tests.support.presence_worlds import AT_LAPTOP, AT_PHONE, World, lease_of

MOVED = replace(AT_LAPTOP, instance_id="notif-2", connected_at="2026-02-01T10:40:00.000Z")


@pytest.fixture
def connections(world: World) -> Connections:
    return world.connections


async def test_a_strangers_first_connection_had_no_instance_before(connections: Connections) -> None:
    assert (await connections.connect(AT_LAPTOP)).previous is None


async def test_a_connection_is_found_whole(connections: Connections) -> None:
    await connections.connect(AT_LAPTOP)
    assert await connections.connections_of("alice") == [AT_LAPTOP]


async def test_a_connection_without_a_focused_channel_is_found_whole(connections: Connections) -> None:
    await connections.connect(AT_PHONE)
    assert await connections.connections_of("alice") == [AT_PHONE]


async def test_connections_come_by_device_id(connections: Connections) -> None:
    await connections.connect(AT_PHONE)
    await connections.connect(AT_LAPTOP)
    assert await connections.connections_of("alice") == [AT_LAPTOP, AT_PHONE]


async def test_connections_are_of_one_user(connections: Connections) -> None:
    await connections.connect(AT_LAPTOP)
    assert await connections.connections_of("bob") == []
    assert await connections.locations_of("bob") == frozenset()


async def test_a_user_is_on_every_instance_that_holds_a_device(connections: Connections) -> None:
    await connections.connect(AT_LAPTOP)
    await connections.connect(AT_PHONE)
    assert await connections.locations_of("alice") == {"notif-1", "notif-2"}


async def test_a_device_that_moves_names_the_instance_it_left(connections: Connections) -> None:
    first = await connections.connect(AT_LAPTOP)
    then = await connections.connect(MOVED)
    assert then.previous == "notif-1"
    assert then.order > first.order > 0
    [found] = await connections.connections_of("alice")
    assert (found, found.order) == (MOVED, then.order)


async def test_another_device_of_the_user_is_no_move(connections: Connections) -> None:
    await connections.connect(AT_LAPTOP)
    assert (await connections.connect(AT_PHONE)).previous is None


@pytest.mark.parametrize("grace_s", [0.0, 2.0])
async def test_a_disconnected_device_is_forgotten(world: World, grace_s: float) -> None:
    at_laptop = await world.connect(AT_LAPTOP)
    await world.connections.disconnect(at_laptop, last=True, grace_s=grace_s)
    assert await world.connections.connections_of("alice") == []
    assert await world.connections.locations_of("alice") == frozenset()
    assert (await world.connections.connect(AT_LAPTOP)).previous is None


async def test_a_connection_that_was_not_answered_can_be_ended(world: World) -> None:
    await world.connect(AT_LAPTOP)
    await world.connections.disconnect(replace(AT_LAPTOP, connected_at="2026-02-01T10:29:00.000Z"), last=False)
    assert await world.connections.connections_of("alice") == [AT_LAPTOP], "that was another one"
    await world.connections.disconnect(AT_LAPTOP, last=True)
    assert await world.connections.connections_of("alice") == []


async def test_while_others_remain_on_the_instance_the_user_stays(world: World) -> None:
    second = replace(AT_PHONE, instance_id="notif-1")
    at_laptop = await world.connect(AT_LAPTOP)
    await world.connect(second)
    await world.connections.disconnect(at_laptop, last=False)
    assert await world.connections.connections_of("alice") == [second]
    assert await world.connections.locations_of("alice") == {"notif-1"}


async def test_a_user_leaves_each_instance_on_its_own(world: World) -> None:
    at_laptop = await world.connect(AT_LAPTOP)
    await world.connect(AT_PHONE)
    await world.connections.disconnect(at_laptop, last=True)
    assert await world.connections.locations_of("alice") == {"notif-2"}
    assert await world.connections.connections_of("alice") == [AT_PHONE]


async def test_a_late_disconnect_does_not_wipe_a_device_that_reconnected_elsewhere(world: World) -> None:
    at_laptop = await world.connect(AT_LAPTOP)
    await world.connect(MOVED)
    await world.connections.disconnect(at_laptop, last=True)
    assert await world.connections.connections_of("alice") == [MOVED]
    assert await world.connections.locations_of("alice") == {"notif-2"}


async def test_a_late_disconnect_does_not_wipe_a_device_that_reconnected_to_the_same_instance(world: World) -> None:
    at_laptop = await world.connect(AT_LAPTOP)
    again = await world.connect(AT_LAPTOP)
    await world.connections.disconnect(at_laptop, last=False)
    assert await world.connections.connections_of("alice") == [again]


async def test_disconnecting_a_stranger_changes_nothing(connections: Connections) -> None:
    await connections.disconnect(AT_LAPTOP, last=True)
    assert await connections.connections_of("alice") == []


async def test_a_connection_ends_by_itself(world: World) -> None:
    await world.connections.connect(AT_LAPTOP)
    await world.elapse(CONNECTION_TTL_S + 1)
    await world.leases.lease(lease_of("notif-1"))
    assert await world.connections.connections_of("alice") == []
    assert await world.connections.locations_of("alice") == frozenset()
    assert (await world.connections.connect(AT_LAPTOP)).previous is None


async def test_a_renewed_connection_lives_on(world: World) -> None:
    at_laptop = await world.connect(AT_LAPTOP)
    await world.elapse(CONNECTION_TTL_S - 20)
    await world.connections.renew([at_laptop])
    await world.elapse(CONNECTION_TTL_S - 20)
    await world.leases.lease(lease_of("notif-1"))
    assert await world.connections.connections_of("alice") == [AT_LAPTOP]
    assert await world.connections.locations_of("alice") == {"notif-1"}


async def test_an_instance_that_renews_nothing_is_no_longer_where_the_user_is(world: World) -> None:
    await world.connect(AT_LAPTOP)
    at_phone = await world.connect(AT_PHONE)
    await world.live(CONNECTION_TTL_S - 20, "notif-1", "notif-2")
    await world.connections.renew([at_phone])
    await world.live(40, "notif-1", "notif-2")
    assert await world.connections.locations_of("alice") == {"notif-2"}
    assert await world.connections.connections_of("alice") == [AT_PHONE]


async def test_renewing_brings_the_device_state_up_to_date(world: World) -> None:
    at_laptop = await world.connect(AT_LAPTOP)
    now_active = replace(
        at_laptop, client_state="active", focused_channel=None, last_activity="2026-02-01T11:00:00.000Z"
    )
    await world.connections.renew([now_active])
    assert await world.connections.connections_of("alice") == [now_active]


async def test_renewing_rewrites_what_was_lost(world: World) -> None:
    at_laptop = await world.connect(AT_LAPTOP)
    await world.elapse(CONNECTION_TTL_S + 1)
    await world.leases.lease(lease_of("notif-1"))
    await world.connections.renew([at_laptop])
    assert await world.connections.connections_of("alice") == [AT_LAPTOP]
    assert await world.connections.locations_of("alice") == {"notif-1"}


async def test_renewing_does_not_take_back_a_device_that_moved(world: World) -> None:
    at_laptop = await world.connect(AT_LAPTOP)
    await world.connect(replace(MOVED, connected_at="2026-02-01T10:29:55.000Z"))  # the clock there is behind
    renewal = await world.connections.renew([at_laptop])
    assert renewal.replaced == [at_laptop]
    [found] = await world.connections.connections_of("alice")
    assert found.instance_id == "notif-2"


async def test_a_moved_device_wins_over_a_ghost_that_was_rewritten_first(world: World) -> None:
    at_laptop, moved = replace(AT_LAPTOP, order=1), replace(MOVED, order=2)
    await world.connections.renew([at_laptop])
    assert (await world.connections.renew([moved])).replaced == []
    assert await world.connections.connections_of("alice") == [moved]


@pytest.mark.parametrize("grace_s", [0.0, 2.0])
async def test_a_renewal_that_comes_late_does_not_bring_an_ended_connection_back(world: World, grace_s: float) -> None:
    at_laptop = await world.connect(AT_LAPTOP)
    await world.connections.disconnect(at_laptop, last=True, grace_s=grace_s)
    renewal = await world.connections.renew([at_laptop])
    assert (renewal.replaced, renewal.changes) == ([], [])
    assert await world.connections.connections_of("alice") == []
    assert await world.connections.locations_of("alice") == frozenset()
    again = await world.connect(AT_LAPTOP)
    assert (await world.connections.renew([again])).replaced == []
    assert await world.connections.connections_of("alice") == [again]


async def test_thousands_are_renewed_in_one_call(connections: Connections) -> None:
    many = [replace(AT_LAPTOP, user_id=f"user-{number}") for number in range(1_201)]
    await connections.renew(many)
    for connection in (many[0], many[600], many[-1]):
        assert await connections.connections_of(connection.user_id) == [connection]


async def test_renewing_nothing_is_fine(connections: Connections) -> None:
    await connections.renew([])


async def test_an_instance_without_a_lease_is_not_where_a_user_is(world: World) -> None:
    await world.connections.connect(AT_LAPTOP)
    await world.connections.connect(AT_PHONE)
    await world.leases.release("notif-1")
    assert await world.connections.locations_of("alice") == {"notif-2"}


async def test_an_open_store_answers(connections: Connections) -> None:
    await connections.ping()
