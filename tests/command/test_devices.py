"""The calls about devices, as their handler answers them."""

from collections.abc import AsyncIterator

import pytest

from fanout.api.devices import RegisterDevice, RemoveDevice
from fanout.error_codes import DEVICE_NOT_FOUND
from fanout.errors import CallRejected, DeviceTaken, InvalidId
from fanout.ids import new_device_id
from fanout.ports.devices import LIMITS
from services.command.devices import DeviceCommands
from tests.support.faulty import FaultyBus, faulty_memberships

PHONE = new_device_id("ios")


@pytest.fixture
async def commands() -> AsyncIterator[DeviceCommands]:
    async with faulty_memberships() as devices:
        yield DeviceCommands(devices, FaultyBus())


async def test_a_device_is_registered_listed_and_removed(commands: DeviceCommands) -> None:
    request = RegisterDevice(
        PHONE, "ios", "4.2.1", "iOS 17.4", "Alice's phone", push_token="abc", capabilities={"inline_reply": True}
    )
    device = await commands.register("alice", request)
    assert (device.device_id, device.platform, device.push_token) == (PHONE, "ios", "abc")
    assert (device.app_version, device.os_version, device.device_name) == ("4.2.1", "iOS 17.4", "Alice's phone")
    assert (device.push_enabled, device.capabilities) == (True, {"inline_reply": True})
    assert (await commands.list_devices("alice")).devices == [device]
    assert await commands.remove("alice", RemoveDevice(PHONE)) == device
    assert (await commands.list_devices("alice")).devices == []
    assert (await commands.remove("alice", RemoveDevice(PHONE))).device_id == PHONE


async def test_a_device_of_another_user_is_out_of_reach(commands: DeviceCommands) -> None:
    await commands.register("alice", RegisterDevice(PHONE))
    with pytest.raises(DeviceTaken):
        await commands.register("mallory", RegisterDevice(PHONE))
    with pytest.raises(CallRejected) as rejected:
        await commands.remove("mallory", RemoveDevice(PHONE))
    assert rejected.value.error_code is DEVICE_NOT_FOUND


async def test_the_newest_devices_of_a_platform_are_listed(commands: DeviceCommands) -> None:
    devices = [new_device_id("desktop") for _ in range(LIMITS["desktop"] + 2)]
    for device in devices:
        await commands.register("alice", RegisterDevice(device))
    listed = [device.device_id for device in (await commands.list_devices("alice")).devices]
    assert listed == sorted(devices[2:])


def test_fields_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(InvalidId, match="platform"):
        RegisterDevice(PHONE, "android")
    for platform in ("web", "desktop"):
        with pytest.raises(InvalidId, match="push_token"):
            RegisterDevice(new_device_id(platform), push_token="abc")
    with pytest.raises(InvalidId):
        RemoveDevice(f"{PHONE}\n")
