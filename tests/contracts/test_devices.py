"""The contract of `fanout.ports.devices.Devices`, over every adapter: they are parts of the membership stores."""

import asyncio
from dataclasses import replace

import pytest

from fanout.errors import DeviceRemoved, DeviceTaken
from fanout.ids import new_device_id
from fanout.ports import devices as port
from fanout.ports.devices import LIMITS, Activity, Connected, Device, Login, Lost, Profile
from tests.contracts.conftest import MembershipStore

PHONE = new_device_id("ios")


def at(second: int) -> str:
    return f"2026-02-01T10:{second // 60:02d}:{second % 60:02d}.000Z"


def login(device_id: str = PHONE, second: int = 0, user_id: str = "alice", ip: str | None = None) -> Login:
    session = f"sess-{device_id}-{second}"
    return Login(user_id=user_id, device_id=device_id, session_id=session, instance_id="one", at=at(second), ip=ip)


def heard(by: Login, second: int, *, ended: bool = False) -> Activity:
    return Activity(device_id=by.device_id, session_id=by.session_id, at=at(second), ended=ended)


async def ids(store: MembershipStore, user_id: str = "alice") -> set[str]:
    return {device.device_id for device in await store.devices_of(user_id)}


async def only(store: MembershipStore, user_id: str = "alice") -> Device:
    (device,) = await store.devices_of(user_id)
    return device


async def full(store: MembershipStore, platform: str = "ios") -> list[str]:
    """Connect as many devices as a platform may have, a second after each other."""
    devices = [new_device_id(platform) for _ in range(LIMITS[platform])]
    for second, device in enumerate(devices):
        await store.connect_device(login(device, second))
    return devices


async def test_a_first_connection_registers_the_device(memberships: MembershipStore) -> None:
    assert await memberships.connect_device(login(ip="10.0.0.1")) == Connected(None)
    assert await only(memberships) == Device(
        device_id=PHONE,
        user_id="alice",
        profile=Profile(),
        created_at=at(0),
        last_active_at=at(0),
        last_ip="10.0.0.1",
        session_id=f"sess-{PHONE}-0",
        instance_id="one",
    )


async def test_a_login_gets_the_one_before_it(memberships: MembershipStore) -> None:
    await memberships.connect_device(login(second=0))
    first = await only(memberships)
    assert await memberships.connect_device(login(second=9)) == Connected(first)
    assert (await only(memberships)).last_active_at == at(9)
    # By a clock that is behind: the order of the calls counts.
    assert (await memberships.connect_device(login(second=5))).before == replace(
        first, last_active_at=at(9), session_id=f"sess-{PHONE}-9"
    )


async def test_logins_at_the_same_time_have_an_order(memberships: MembershipStore) -> None:
    logins = [login(second=second) for second in range(8)]
    found = await asyncio.gather(*(memberships.connect_device(each) for each in logins))
    before = [each.before.session_id if each.before else None for each in found]
    last = (await only(memberships)).session_id
    assert sorted(map(str, [*before, last])) == sorted(map(str, [None, *(each.session_id for each in logins)]))


async def test_a_device_is_registered_with_its_profile(memberships: MembershipStore) -> None:
    profile = Profile(
        app_version="4.2.1",
        os_version="iOS 17.4",
        device_name="Alice's phone",
        push_token="abc",
        push_enabled=False,
        capabilities={"inline_reply": True},
    )
    registered = await memberships.register_device("alice", PHONE, profile, at(0))
    assert registered.device == await only(memberships)
    assert (registered.device.profile, registered.device.session_id) == (profile, None)
    await memberships.connect_device(login(second=5))
    # What is left out is gone, and the connection is as it was.
    await memberships.register_device("alice", PHONE, Profile(device_name="Phone"), at(9))
    device = await only(memberships)
    assert device.profile == Profile(device_name="Phone")
    assert (device.created_at, device.last_active_at) == (at(0), at(5))
    assert device.session_id == login(second=5).session_id


async def test_a_device_of_another_user_is_refused(memberships: MembershipStore) -> None:
    await memberships.connect_device(login())
    with pytest.raises(DeviceTaken):
        await memberships.connect_device(login(user_id="mallory"))
    with pytest.raises(DeviceTaken):
        await memberships.register_device("mallory", PHONE, Profile(), at(1))
    assert await memberships.remove_device("mallory", PHONE, at(1)) is None
    assert await ids(memberships) == {PHONE}
    assert await ids(memberships, "mallory") == set()


async def test_a_removed_device_is_refused_until_it_is_registered(memberships: MembershipStore) -> None:
    await memberships.connect_device(login())
    removed = await memberships.remove_device("alice", PHONE, at(1))
    assert removed is not None
    assert removed.session_id == login().session_id
    assert await memberships.remove_device("alice", PHONE, at(2)) == removed  # told again
    assert await memberships.devices_of("alice") == []
    for user in ("alice", "bob"):
        with pytest.raises(DeviceRemoved):
            await memberships.connect_device(login(second=3, user_id=user))
    await memberships.register_device("alice", PHONE, Profile(), at(4))
    device = await only(memberships)
    assert (device.created_at, device.session_id, device.instance_id) == (at(4), None, None)
    await memberships.connect_device(login(second=5))


async def test_a_removed_device_may_become_another_users(memberships: MembershipStore) -> None:
    await memberships.connect_device(login())
    await memberships.remove_device("alice", PHONE, at(1))
    await memberships.register_device("bob", PHONE, Profile(), at(2))
    assert await ids(memberships, "bob") == {PHONE}
    with pytest.raises(DeviceTaken):
        await memberships.connect_device(login(second=3))


async def test_nothing_is_removed_that_is_not_there(memberships: MembershipStore) -> None:
    assert await memberships.remove_device("alice", PHONE, at(0)) is None


@pytest.mark.parametrize("platform", sorted(LIMITS))
async def test_over_the_limit_the_least_recently_active_device_goes(
    memberships: MembershipStore, platform: str
) -> None:
    devices = await full(memberships, platform)
    others = [new_device_id(other) for other in LIMITS if other != platform]
    for device in others:
        await memberships.connect_device(login(device))
    await memberships.record_activity([heard(login(devices[0]), 30)])
    newcomer = new_device_id(platform)
    connected = await memberships.connect_device(login(newcomer, 40))
    assert [device.device_id for device in connected.deregistered] == [devices[1]]
    assert connected.deregistered[0].session_id == login(devices[1], 1).session_id
    assert await ids(memberships) == {*devices, *others, newcomer} - {devices[1]}
    with pytest.raises(DeviceRemoved):
        await memberships.connect_device(login(devices[1], 41))


async def test_the_limit_holds_for_registrations_too(memberships: MembershipStore) -> None:
    devices = await full(memberships)
    registered = await memberships.register_device("alice", PHONE, Profile(), at(20))
    assert [device.device_id for device in registered.deregistered] == [devices[0]]
    again = await memberships.register_device("alice", devices[0], Profile(), at(21))
    assert [device.device_id for device in again.deregistered] == [devices[1]]
    assert await ids(memberships) == {PHONE, devices[0], *devices[2:]}
    # One that is registered is no newcomer.
    assert (await memberships.register_device("alice", devices[0], Profile(), at(22))).deregistered == ()


async def test_the_newcomer_stays_where_its_clock_is_behind(memberships: MembershipStore) -> None:
    devices = await full(memberships)
    early = "2026-02-01T05:00:00.000Z"
    newcomer = new_device_id("ios")
    await memberships.connect_device(replace(login(newcomer), at=early))
    assert await ids(memberships) == {newcomer, *devices[1:]}
    second = new_device_id("ios")
    await memberships.connect_device(replace(login(second), at=early))
    assert await ids(memberships) == {newcomer, second, *devices[2:]}


async def test_newcomers_at_the_same_time_converge_to_the_limit(memberships: MembershipStore) -> None:
    before = await full(memberships)
    newcomers = [new_device_id("ios") for _ in range(LIMITS["ios"] + 3)]
    await asyncio.gather(*(memberships.connect_device(login(device, 60)) for device in newcomers))
    rest = await ids(memberships)
    assert len(rest) == LIMITS["ios"]
    assert not rest & set(before)


async def test_a_push_token_belongs_to_the_last_that_registered_it(memberships: MembershipStore) -> None:
    for second, user in enumerate(("alice", "bob")):
        await memberships.register_device(user, new_device_id("ios"), Profile(push_token="t"), at(second))
    assert (await only(memberships, "alice")).profile.push_token is None
    assert (await only(memberships, "bob")).profile.push_token == "t"
    await memberships.register_device("carol", PHONE, Profile(push_token="t"), "2026-02-01T05:00:00.000Z")
    await memberships.register_device("carol", PHONE, Profile(push_token="t"), at(2))
    assert (await only(memberships, "bob")).profile.push_token is None
    assert (await only(memberships, "carol")).profile.push_token == "t"


async def test_a_push_token_has_one_device_whoever_registers_at_the_same_time(memberships: MembershipStore) -> None:
    users = [f"user-{number}" for number in range(6)]
    await asyncio.gather(
        *(memberships.register_device(user, new_device_id("ios"), Profile(push_token="t"), at(0)) for user in users)
    )
    tokens = [(await only(memberships, user)).profile.push_token for user in users]
    assert sorted(tokens, key=str) == [None] * 5 + ["t"]


async def test_a_removed_device_gives_its_push_token_back(memberships: MembershipStore) -> None:
    await memberships.register_device("alice", PHONE, Profile(push_token="t"), at(0))
    await memberships.remove_device("alice", PHONE, at(1))
    await memberships.register_device("alice", PHONE, Profile(), at(2))
    assert (await only(memberships)).profile.push_token is None


async def test_activity_is_recorded_for_the_current_connection(memberships: MembershipStore) -> None:
    await memberships.connect_device(login())
    assert await memberships.record_activity([]) == []
    assert await memberships.record_activity([heard(login(), 30)]) == []
    device = await only(memberships)
    assert (device.last_active_at, device.instance_id) == (at(30), "one")
    assert await memberships.record_activity([heard(login(), 40, ended=True)]) == []
    device = await only(memberships)
    assert (device.last_active_at, device.session_id, device.instance_id) == (at(40), login().session_id, None)


async def test_a_connection_that_was_replaced_learns_it(memberships: MembershipStore) -> None:
    old, new, other = login(second=0), login(second=1), login(new_device_id("web"))
    for each in (old, new, other):
        await memberships.connect_device(each)
    found = await memberships.record_activity([heard(old, 5), heard(other, 5)])
    assert found == [Lost(old.session_id, removed=False)]
    assert await memberships.record_activity([heard(old, 6, ended=True)]) == []
    device = next(each for each in await memberships.devices_of("alice") if each.device_id == PHONE)
    assert (device.last_active_at, device.instance_id) == (at(1), "one")


async def test_a_connection_of_a_removed_device_learns_it(memberships: MembershipStore) -> None:
    await memberships.connect_device(login())
    await memberships.remove_device("alice", PHONE, at(1))
    assert await memberships.record_activity([heard(login(), 5)]) == [Lost(login().session_id, removed=True)]
    assert await memberships.record_activity([heard(login(), 5, ended=True)]) == []


async def test_so_many_removed_devices_are_remembered(
    memberships: MembershipStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("sqlite", "mongo"):
        monkeypatch.setattr(f"services.adapters.{module}.devices.REMOVED_KEPT", 2)
    assert sum(LIMITS.values()) < port.REMOVED_KEPT
    devices = [new_device_id("web") for _ in range(3)]
    for second, device in enumerate(devices):
        await memberships.connect_device(login(device, second))
        await memberships.remove_device("alice", device, at(second))
    for device in devices[1:]:
        with pytest.raises(DeviceRemoved):
            await memberships.connect_device(login(device, 9))
    gone = login(devices[0])
    assert await memberships.record_activity([heard(gone, 9)]) == [Lost(gone.session_id, removed=True)]
    assert (await memberships.connect_device(gone)).before is None
