"""The devices of a user on several instances: one connection each, limits, and removal."""

import pytest

from fanout import Unavailable
from fanout.api.devices import RegisterDevice, RemoveDevice
from fanout.ids import new_device_id
from fanout.ports.devices import LIMITS
from services.command.devices import DeviceCommands
from services.notification import device_sessions
from services.notification.instance import NotificationInstance
from tests.support.harness import Client, Harness
from tests.support.observing import eventually, until


async def come(harness: Harness, instance: NotificationInstance, user_id: str, device_id: str, **auth: str) -> Client:
    """Connect a device, and return when it is admitted or refused."""
    client = Client(user_id, silent=True)
    client.send("auth", token=user_id, device_id=device_id, **auth)
    harness.open(instance, client)
    await until(lambda: bool(client.frames) or client.close_code is not None, f"{user_id} admitted")
    return client


async def closed(client: Client) -> tuple[int | None, str]:
    """The code and the first word of the reason with which a client is closed."""
    await until(lambda: client.close_code is not None, "closed")
    return client.close_code, client.close_reason.partition(":")[0]


async def away(*_: object) -> None:
    raise Unavailable("switched off")


def commands(harness: Harness) -> DeviceCommands:
    return DeviceCommands(harness.memberships, harness.bus)


async def test_a_removed_device_is_closed_and_refused_until_it_is_registered(harness: Harness) -> None:
    one, two = await harness.add_instance("one"), await harness.add_instance("two")
    phone, other = new_device_id("ios"), new_device_id("web")
    stolen, browser = await come(harness, one, "alice", phone), await come(harness, one, "alice", other)
    await commands(harness).remove("alice", RemoveDevice(phone))
    assert await closed(stolen) == (4409, "deregistered")
    for instance in (one, two):
        assert await closed(await come(harness, instance, "alice", phone)) == (4409, "deregistered")
    await commands(harness).register("alice", RegisterDevice(phone))
    assert (await come(harness, two, "alice", phone)).of_type("auth.ok")
    assert browser.close_code is None


async def test_a_removed_device_is_closed_although_the_notice_is_lost(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_sessions, "RECORDED_EVERY_S", 0.0)
    one = await harness.add_instance("one")
    phone = new_device_id("ios")
    stolen = await come(harness, one, "alice", phone)
    harness.bus.down = True
    await commands(harness).remove("alice", RemoveDevice(phone))
    harness.bus.down = False
    stolen.send("heartbeat")
    assert await closed(stolen) == (4409, "deregistered")


async def test_a_device_that_moves_is_closed_where_it_was_whatever_the_clocks(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await harness.add_instance("one"), await harness.add_instance("two")
    phone = new_device_id("ios")
    before = await come(harness, one, "alice", phone)
    monkeypatch.setattr(device_sessions, "timestamp", lambda: "2020-01-01T00:00:00.000Z")  # that of `two` is behind
    after = await come(harness, two, "alice", phone)
    assert await closed(before) == (4409, "replaced")
    await until(lambda: not len(one.registry), "the first session has ended")
    assert await harness.presence.locations_of("alice") == {"two"}
    assert after.close_code is None


async def test_a_device_that_moved_is_closed_although_the_notice_is_lost(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_sessions, "RECORDED_EVERY_S", 0.0)
    one, two = await harness.add_instance("one"), await harness.add_instance("two")
    phone = new_device_id("ios")
    before = await come(harness, one, "alice", phone)
    harness.bus.prefix, harness.bus.share = "instance.control.one", 1.0
    after = await come(harness, two, "alice", phone)
    harness.bus.share = 0.0
    assert before.close_code is None
    before.send("heartbeat")
    assert await closed(before) == (4409, "replaced")
    after.send("heartbeat")
    await until(lambda: bool(after.of_type("heartbeat.ok")), "the new connection goes on")
    assert after.close_code is None


async def test_two_phones_with_one_device_id_take_turns_only_as_they_connect(harness: Harness) -> None:
    one, two = await harness.add_instance("one"), await harness.add_instance("two")
    device = new_device_id("ios")
    first = await come(harness, one, "alice", device)
    second = await come(harness, two, "alice", device)
    assert await closed(first) == (4409, "replaced")
    third = await come(harness, one, "alice", device)
    assert await closed(second) == (4409, "replaced")
    again = await come(harness, one, "alice", device)
    assert await closed(third) == (4409, "replaced")
    await commands(harness).register("alice", RegisterDevice(device))
    assert again.close_code is None
    assert len(await harness.memberships.devices_of("alice")) == 1


async def test_an_eleventh_browser_ends_the_first(harness: Harness) -> None:
    one, two = await harness.add_instance("one"), await harness.add_instance("two")
    browsers = [await come(harness, one, "alice", new_device_id("web")) for _ in range(LIMITS["web"])]
    newcomer = await come(harness, two, "alice", new_device_id("web"))
    assert await closed(browsers[0]) == (4409, "deregistered")
    assert newcomer.of_type("auth.ok")
    assert [each.close_code for each in (*browsers[1:], newcomer)] == [None] * LIMITS["web"]


async def test_a_registration_ends_the_connection_of_the_device_that_makes_room(harness: Harness) -> None:
    one = await harness.add_instance("one")
    phones = [await come(harness, one, "alice", new_device_id("ios")) for _ in range(LIMITS["ios"])]
    await commands(harness).register("alice", RegisterDevice(new_device_id("ios")))
    assert await closed(phones[0]) == (4409, "deregistered")


async def test_a_device_of_another_user_is_refused(harness: Harness) -> None:
    one = await harness.add_instance("one")
    device = new_device_id("ios")
    alice = await come(harness, one, "alice", device)
    assert await closed(await come(harness, one, "mallory", device)) == (4401, "device_taken")
    assert alice.close_code is None
    assert one.registry.sessions_of("mallory") == []


async def test_a_platform_that_is_not_the_devices_is_refused(harness: Harness) -> None:
    one = await harness.add_instance("one")
    for platform in ("android", "windows"):
        client = await come(harness, one, "alice", new_device_id("ios"), platform=platform)
        assert client.close_code == 4400
    assert (await come(harness, one, "alice", new_device_id("ios"), platform="ios")).of_type("auth.ok")


async def test_nobody_enters_while_the_record_is_away(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    one = await harness.add_instance("one")
    with monkeypatch.context() as broken:
        broken.setattr(harness.memberships, "connect_device", away)
        client = await come(harness, one, "alice", new_device_id("ios"))
        assert client.close_code == 1013
        assert "retry_after_ms=" in client.close_reason
    assert (await come(harness, one, "alice", client.device_id)).of_type("auth.ok")


async def test_the_record_says_where_a_device_is_and_when_it_was(harness: Harness) -> None:
    one = await harness.add_instance("one")
    device = new_device_id("ios")
    client = await come(harness, one, "alice", device)
    (session,) = one.registry.sessions_of("alice")
    assert session.away_since is None
    (found,) = await harness.memberships.devices_of("alice")
    assert (found.session_id, found.instance_id, found.last_ip) == (session.session_id, "one", "192.0.2.7")
    client.hang_up()

    async def gone() -> bool:
        return (await harness.memberships.devices_of("alice"))[0].instance_id is None

    await eventually(gone, within_s=10)
    (found,) = await harness.memberships.devices_of("alice")
    await come(harness, one, "alice", device)
    assert one.registry.sessions_of("alice")[0].away_since == found.last_active_at


async def test_a_registration_by_rest_is_no_presence(harness: Harness) -> None:
    one = await harness.add_instance("one")
    device = new_device_id("ios")
    await commands(harness).register("alice", RegisterDevice(device))
    await come(harness, one, "alice", device)
    assert one.registry.sessions_of("alice")[0].away_since is None


async def test_an_instance_that_stops_records_the_ends_of_its_sessions(harness: Harness) -> None:
    one = await harness.add_instance("one")
    await come(harness, one, "alice", new_device_id("ios"))
    await one.drain()
    assert [device.instance_id for device in await harness.memberships.devices_of("alice")] == [None]
