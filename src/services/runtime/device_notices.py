"""Notices to instances: the device of a connection there was removed."""

import msgspec
import structlog

from fanout import Unavailable
from fanout.ports.bus import Bus
from fanout.ports.devices import Device
from fanout.subjects import instance_control
from fanout.workers import SessionLost

log = structlog.get_logger(__name__)


class DeviceNotices:
    """Tells instances to end connections. A notice that is lost is made up for by `Devices.record_activity`.

    Args:
        bus: takes the notices.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def tell(self, device: Device) -> None:
        """End the connection that a removed device had, if it had one.

        Args:
            device: as it was before it was removed.
        """
        if device.instance_id is None or device.session_id is None:
            return
        notice = SessionLost(device.session_id)
        try:
            await self._bus.publish(instance_control(device.instance_id), msgspec.json.encode(notice))
        except Unavailable as error:
            log.warning("a connection could not be ended at once", session_id=device.session_id, reason=str(error))
