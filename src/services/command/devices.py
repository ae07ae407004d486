"""The calls about the devices of a user."""

from fanout.api.devices import DeviceList, ListedDevice, RegisterDevice, RemoveDevice
from fanout.error_codes import DEVICE_NOT_FOUND
from fanout.errors import CallRejected
from fanout.events import timestamp
from fanout.ports.bus import Bus
from fanout.ports.devices import Device, Devices, Profile
from services.runtime.device_notices import DeviceNotices


class DeviceCommands:
    """Handles the calls of `fanout.api.devices`.

    Args:
        devices: the record.
        bus: for the instances that hold connections of removed devices.
    """

    def __init__(self, devices: Devices, bus: Bus) -> None:
        self._devices = devices
        self._notices = DeviceNotices(bus)

    async def register(self, user_id: str, request: RegisterDevice) -> ListedDevice:
        """Register a device; see `DeviceCalls.register`."""
        profile = Profile(
            app_version=request.app_version,
            os_version=request.os_version,
            device_name=request.device_name,
            push_token=request.push_token,
            push_enabled=request.push_enabled,
            capabilities=request.capabilities,
        )
        device, gone = await self._devices.register_device(user_id, request.device_id, profile, timestamp())
        for each in gone:
            await self._notices.tell(each)
        return _listed(device)

    async def list_devices(self, user_id: str) -> DeviceList:
        """The devices of the user."""
        return DeviceList([_listed(device) for device in await self._devices.devices_of(user_id)])

    async def remove(self, user_id: str, request: RemoveDevice) -> ListedDevice:
        """Remove a device; see `DeviceCalls.remove`. A repeat tells its instance again."""
        device = await self._devices.remove_device(user_id, request.device_id, timestamp())
        if device is None:
            raise CallRejected(DEVICE_NOT_FOUND)
        await self._notices.tell(device)
        return _listed(device)


def _listed(device: Device) -> ListedDevice:
    profile = device.profile
    return ListedDevice(
        device_id=device.device_id,
        platform=device.platform,
        app_version=profile.app_version,
        os_version=profile.os_version,
        device_name=profile.device_name,
        push_token=profile.push_token,
        push_enabled=profile.push_enabled,
        capabilities=dict(profile.capabilities),
        created_at=device.created_at,
        last_active_at=device.last_active_at,
        last_ip=device.last_ip,
        current_session_id=device.session_id,
        notification_service_instance=device.instance_id,
    )
