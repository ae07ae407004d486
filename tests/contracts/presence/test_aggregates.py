"""The contract of `fanout.ports.presence.Aggregates`, over every adapter: a user's presence over the devices."""

from dataclasses import replace
from datetime import datetime

import pytest

from fanout.keys import CONNECTION_TTL_S, GRACE_S, LEASE_TTL_S
from fanout.ports.presence import ClientState, DeviceConnection, UserPresence
from tests.support.presence_worlds import AT_LAPTOP, AT_PHONE, World, lease_of

ACTIVE = replace(AT_LAPTOP, client_state="active")


def in_state(connection: DeviceConnection, state: ClientState) -> DeviceConnection:
    return replace(connection, client_state=state)


async def renewed(world: World, connection: DeviceConnection) -> list[str]:
    """The statuses that renewing a connection changes to."""
    return [change.status for change in (await world.connections.renew([connection])).changes]


async def swept(world: World) -> list[UserPresence]:
    changes: list[UserPresence] = []
    more = True
    while more:
        sweep = await world.aggregates.sweep(10)
        changes += sweep.changes
        more = sweep.more
    return changes


async def test_of_a_stranger_nothing_is_known_and_nothing_is_kept(world: World) -> None:
    assert await world.presence("stranger") == UserPresence("stranger")
    assert await world.aggregates.changed_within(60) == []


async def test_users_are_asked_for_together(world: World) -> None:
    await world.connect(AT_LAPTOP)
    await world.connect(replace(AT_LAPTOP, user_id="bob", client_state="active"))
    users = ["alice", "bob", *(f"user-{number}" for number in range(250))]
    found = await world.aggregates.presences_of(users)
    assert sorted(found) == sorted(users)
    assert [found[user].status for user in ("alice", "bob", "user-249")] == ["idle", "online", "offline"]


@pytest.mark.parametrize(("state", "status"), [("active", "online"), ("idle", "idle"), ("background", "away")])
async def test_the_state_of_the_only_device_is_the_status(world: World, state: ClientState, status: str) -> None:
    connected = await world.connections.connect(in_state(AT_LAPTOP, state))
    assert connected.change is not None
    presence = await world.presence()
    assert (connected.change.user_id, connected.change.status) == ("alice", status)
    assert connected.change == presence
    assert (presence.active_device_count, presence.version > 0) == (1, True)


async def test_the_most_active_device_counts(world: World) -> None:
    await world.connect(in_state(AT_LAPTOP, "background"))
    idle = await world.connections.connect(AT_PHONE)
    assert (idle.change is not None, await world.status()) == (True, "idle")
    assert (await world.presence()).active_device_count == 2


async def test_what_does_not_change_the_status_is_no_change(world: World) -> None:
    await world.connect(AT_LAPTOP)
    before = await world.presence()
    assert (await world.connections.connect(in_state(AT_PHONE, "background"))).change is None
    after = await world.presence()
    assert after == replace(before, active_device_count=2)


async def test_one_change_per_change_of_the_maximum_and_none_by_heartbeats(world: World) -> None:
    at_laptop, at_phone = await world.connect(AT_LAPTOP), await world.connect(in_state(AT_PHONE, "background"))
    seen: list[str] = []
    for state in ("active", "active", "background", "background", "active", "background"):
        seen += await renewed(world, in_state(at_phone, state))
        seen += await renewed(world, at_laptop)
    assert seen == ["online", "idle", "online", "idle"]


async def test_versions_rise(world: World) -> None:
    at_laptop = await world.connect(AT_LAPTOP)
    versions = [(await world.presence()).version]
    for state in ("active", "idle", "background", "active"):
        await renewed(world, in_state(at_laptop, state))
        versions.append((await world.presence()).version)
    assert versions == sorted(set(versions))


async def test_a_user_whose_last_device_left_is_offline_at_once(world: World) -> None:
    at_laptop = await world.connect(AT_LAPTOP)
    change = await world.connections.disconnect(at_laptop, last=True)
    assert change is not None
    assert change == await world.presence()
    assert (change.status, change.active_device_count) == ("offline", 0)
    assert await swept(world) == []


async def test_a_device_counts_for_the_time_of_grace(world: World) -> None:
    at_laptop = await world.connect(AT_LAPTOP)
    assert await world.connections.disconnect(at_laptop, last=True, grace_s=GRACE_S) is None
    assert (await swept(world), await world.status()) == ([], "idle")
    await world.elapse(GRACE_S + 0.1)
    [change] = await swept(world)
    assert (change.status, await world.status()) == ("offline", "offline")


async def test_a_device_that_comes_back_in_the_time_of_grace_changes_nothing(world: World) -> None:
    at_laptop = await world.connect(AT_LAPTOP)
    before = await world.presence()
    await world.connections.disconnect(at_laptop, last=True, grace_s=GRACE_S)
    assert (await world.connections.connect(replace(AT_LAPTOP, instance_id="notif-2"))).change is None
    await world.elapse(GRACE_S + 0.1)
    assert (await swept(world), await world.presence()) == ([], before)


async def test_a_device_that_moved_stays_when_its_old_connection_ends(world: World) -> None:
    at_laptop = await world.connect(ACTIVE)
    await world.connect(replace(ACTIVE, instance_id="notif-2", connected_at="2026-02-01T10:29:55.000Z"))
    assert await world.connections.disconnect(at_laptop, last=True, grace_s=GRACE_S) is None
    await world.elapse(GRACE_S + 0.1)
    assert (await swept(world), await world.status()) == ([], "online")


async def test_a_device_that_nobody_disconnected_ends_with_its_record(world: World) -> None:
    await world.connect(AT_LAPTOP)
    await world.live(CONNECTION_TTL_S + 1, "notif-1", "notif-2")
    [change] = await swept(world)
    assert (change.user_id, change.status) == ("alice", "offline")
    assert await swept(world) == []


async def test_a_device_that_is_heard_lives_on(world: World) -> None:
    at_laptop = await world.connect(AT_LAPTOP)
    for _ in range(4):
        await world.live(CONNECTION_TTL_S / 2, "notif-1", "notif-2")
        await world.connections.renew([at_laptop])
        assert await swept(world) == []
    assert await world.status() == "idle"


async def test_the_devices_of_an_instance_end_with_its_lease(world: World) -> None:
    await world.connect(ACTIVE)
    await world.connect(AT_PHONE)
    await world.live(LEASE_TTL_S + 1, "notif-2")
    assert [change.status for change in await swept(world)] == ["idle"]
    assert (await world.presence()).active_device_count == 1


async def test_reading_finds_what_no_sweep_has_seen(world: World) -> None:
    await world.connect(ACTIVE)
    await world.live(LEASE_TTL_S + 1, "notif-2")
    assert await world.status() == "offline"
    assert await swept(world) == [], "the reader has done it"
    assert [change.status for change in await world.aggregates.changed_within(60)] == ["offline"]


async def test_many_users_of_an_instance_that_died_are_found_in_parts(world: World) -> None:
    for number in range(25):
        await world.connect(replace(AT_LAPTOP, user_id=f"user-{number}"))
    await world.live(LEASE_TTL_S + 1, "notif-2")
    first = await world.aggregates.sweep(10)
    assert (len(first.changes), first.more) == (10, True)
    rest = await swept(world)
    assert sorted(change.user_id for change in [*first.changes, *rest]) == sorted(f"user-{n}" for n in range(25))


async def test_an_instance_that_starts_again_does_not_keep_its_old_devices(world: World) -> None:
    old = lease_of("notif-1").incarnation
    await world.connect(replace(AT_LAPTOP, incarnation=old))
    assert await world.status() == "idle"
    await world.leases.lease(lease_of("notif-1", incarnation="next"))
    assert [change.status for change in await swept(world)] == ["offline"]
    await world.connect(replace(AT_LAPTOP, incarnation="next"))
    assert await world.status() == "idle"


async def test_the_devices_of_an_instance_that_stops_linger(world: World) -> None:
    incarnation = lease_of("notif-1").incarnation
    await world.connect(replace(AT_LAPTOP, incarnation=incarnation))
    await world.live(LEASE_TTL_S + 1, "notif-1", "notif-2")
    await world.leases.release("notif-1", lingers_s=5)
    assert "notif-1" not in await world.leases.leases()
    assert (await swept(world), await world.status()) == ([], "idle")
    await world.live(6, "notif-2")
    assert [change.status for change in await swept(world)] == ["offline"]


async def test_where_no_lease_was_renewed_those_that_ended_are_doubted(world: World) -> None:
    """The store was away, or the network before it: an instance takes its lease again, and one is a moment later."""
    at_laptop = await world.connect(ACTIVE)
    await world.elapse(LEASE_TTL_S + 5)
    await world.leases.lease(lease_of("notif-2"))
    assert (await swept(world), await world.status()) == ([], "online")
    await world.leases.lease(lease_of("notif-1"))
    assert await renewed(world, at_laptop) == []
    await world.live(LEASE_TTL_S + 1, "notif-2")
    assert [change.status for change in await swept(world)] == ["offline"], "it did not live"


async def test_after_three_minutes_without_any_service_a_user_is_offline(world: World) -> None:
    await world.connect(ACTIVE)
    await world.elapse(180)
    assert await world.status() == "offline"
    await world.leases.lease(lease_of("notif-2"))
    assert await swept(world) == []
    assert [change.status for change in await world.aggregates.untold(10)] == []
    await world.elapse(3)
    assert [change.status for change in await world.aggregates.untold(10)] == ["offline"]


async def test_who_lost_the_presence_of_a_user_tells_what_is_written_next(world: World) -> None:
    at_laptop = replace(AT_LAPTOP, order=5)
    change = await world.connections.disconnect(at_laptop, last=True)
    assert change is not None
    assert (change.status, change.version > 0) == ("offline", True)


async def test_last_active_is_when_a_device_was_active_last(world: World) -> None:
    at_laptop = await world.connect(AT_LAPTOP)
    await world.connections.renew([at_laptop])
    assert (await world.presence()).last_active is None
    await world.connections.renew([in_state(at_laptop, "active")])
    first = (await world.presence()).last_active
    assert first is not None
    assert datetime.fromisoformat(first).tzinfo is not None
    assert (len(first), first[-1]) == (24, "Z")
    await world.elapse(1)
    await world.connections.renew([in_state(at_laptop, "idle")])
    until = (await world.presence()).last_active
    assert until is not None
    assert until >= first
    await world.elapse(1)
    await world.connections.renew([in_state(at_laptop, "idle")])
    await world.connections.disconnect(at_laptop, last=True)
    assert (await world.presence()).last_active == until


async def test_the_status_text_is_a_change(world: World) -> None:
    await world.connect(AT_LAPTOP)
    before = await world.presence()
    after = await world.aggregates.set_status("alice", "In a meeting", ":calendar:")
    assert (after.status_text, after.status_emoji, after.status) == ("In a meeting", ":calendar:", "idle")
    assert after.version > before.version
    assert await world.presence() == after
    assert await world.aggregates.set_status("alice", "In a meeting", ":calendar:") == after
    assert (await world.aggregates.set_status("alice", "", "")).version > after.version


async def test_the_status_text_of_a_user_who_is_away_stays(world: World) -> None:
    at_laptop = await world.connect(AT_LAPTOP)
    await world.aggregates.set_status("alice", "", ":palm_tree:")
    await world.connections.disconnect(at_laptop, last=True)
    assert ((await world.presence()).status_emoji, await world.status()) == (":palm_tree:", "offline")
    assert (await world.aggregates.set_status("bob", "hello", "")).status == "offline"


async def test_a_change_is_untold_until_it_is_told(world: World) -> None:
    await world.connect(AT_LAPTOP)
    assert await world.aggregates.untold(10) == [], "whoever made it may be telling it"
    await world.elapse(3)
    [change] = await world.aggregates.untold(10)
    assert change == await world.presence()
    assert await world.aggregates.untold(10) == [], "it was given to somebody"
    await world.elapse(3)
    assert await world.aggregates.untold(10) == [change], "who did not tell it"
    await world.aggregates.told([change])
    await world.elapse(3)
    assert await world.aggregates.untold(10) == []


async def test_a_newer_change_stays_untold(world: World) -> None:
    connected = await world.connections.connect(AT_LAPTOP)
    assert connected.change is not None
    await world.connections.renew([replace(ACTIVE, order=connected.order)])
    await world.aggregates.told([connected.change])
    await world.elapse(3)
    assert [change.status for change in await world.aggregates.untold(10)] == ["online"]


async def test_untold_changes_are_taken_in_parts(world: World) -> None:
    for number in range(5):
        await world.connect(replace(AT_LAPTOP, user_id=f"user-{number}"))
    await world.elapse(3)
    parts = [await world.aggregates.untold(2) for _ in range(4)]
    assert [len(part) for part in parts] == [2, 2, 1, 0]


async def test_recent_changes_are_found(world: World) -> None:
    for number in range(150):
        await world.connect(replace(AT_LAPTOP, user_id=f"user-{number}"))
    await world.elapse(30)
    await world.connect(AT_PHONE)
    assert [change.user_id for change in await world.aggregates.changed_within(20)] == ["alice"]
    assert len(await world.aggregates.changed_within(60)) == 151
