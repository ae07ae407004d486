"""An instance is told which of its sessions has lost its device."""

from fanout.ids import new_device_id
from fanout.ports.devices import Device, Profile
from fanout.subjects import instance_control
from fanout.workers import SessionLost, decode_control
from services.runtime.device_notices import DeviceNotices
from tests.support.faulty import FaultyBus
from tests.support.observing import until

AT = "2026-02-01T10:00:00.000Z"


def device(session_id: str | None, instance_id: str | None) -> Device:
    return Device(
        device_id=new_device_id("ios"),
        user_id="alice",
        profile=Profile(),
        created_at=AT,
        last_active_at=AT,
        session_id=session_id,
        instance_id=instance_id,
    )


async def test_the_instance_that_holds_the_session_is_told() -> None:
    bus, heard = FaultyBus(), list[object]()
    await bus.subscribe(instance_control("one"), lambda _, payload: heard.append(decode_control(payload)))
    notices = DeviceNotices(bus)
    await notices.tell(device(None, "one"))
    await notices.tell(device("sess_1", None))
    await notices.tell(device("sess_2", "one"))
    await until(lambda: heard == [SessionLost("sess_2")], "told")


async def test_a_bus_that_is_away_is_no_error() -> None:
    bus = FaultyBus()
    bus.down = True
    await DeviceNotices(bus).tell(device("sess_1", "one"))
