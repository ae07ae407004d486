"""What an instance records of its devices: when, in which batches, and while the record is away."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fanout import Unavailable
from fanout.ports.devices import Login
from fanout.workers import SessionLost
from services.notification import device_sessions
from services.notification.device_sessions import RECORDED_AT_ONCE, RECORDED_EVERY_S, DeviceSessions
from services.notification.refusals import Refused
from services.notification.session import Session
from tests.support.faulty import FaultyBus, FaultyMemberships, faulty_memberships
from tests.support.observing import until
from tests.support.sessions import session_of

LATER = "2030-01-01T00:00:00.000Z"


class Rig:
    def __init__(self, devices: FaultyMemberships) -> None:
        self.devices = devices
        self.now = 0.0
        self.sessions = DeviceSessions(devices, FaultyBus(), clock=lambda: self.now)

    async def enter(self, user_id: str = "alice") -> Session:
        session = session_of(user_id)
        await self.sessions.enter(session)
        return session

    async def instances_of(self, user_id: str = "alice") -> list[str | None]:
        return [device.instance_id for device in await self.devices.devices_of(user_id)]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with faulty_memberships() as devices:
        yield Rig(devices)


async def test_a_login_is_one_call(rig: Rig) -> None:
    await rig.enter()
    await rig.sessions.record()
    assert rig.devices.calls == {"connect_device": 1}


async def test_activity_is_recorded_from_time_to_time(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await rig.enter()
    monkeypatch.setattr(device_sessions, "timestamp", lambda: LATER)
    rig.now = RECORDED_EVERY_S - 1
    rig.sessions.hear(session)
    await rig.sessions.record()
    assert rig.devices.calls["record_activity"] == 0
    rig.now = RECORDED_EVERY_S
    for _ in range(2):
        rig.sessions.hear(session)
        await rig.sessions.record()
    assert rig.devices.calls["record_activity"] == 1
    assert [device.last_active_at for device in await rig.devices.devices_of("alice")] == [LATER]


async def test_many_are_recorded_in_batches(rig: Rig) -> None:
    sessions = [await rig.enter(f"user-{number}") for number in range(RECORDED_AT_ONCE + 1)]
    rig.now = RECORDED_EVERY_S
    for session in sessions[1:]:
        rig.sessions.hear(session)
    rig.sessions.leave(sessions[0])
    await rig.sessions.record()
    assert rig.devices.calls["record_activity"] == 2
    assert await rig.instances_of("user-0") == [None]


async def test_an_end_is_recorded_when_the_record_is_back(rig: Rig) -> None:
    session = await rig.enter()
    rig.sessions.leave(session)
    rig.sessions.leave(session)
    rig.sessions.hear(session)
    rig.devices.down = True
    with pytest.raises(Unavailable):
        await rig.sessions.record()
    await rig.sessions.record_last()
    rig.devices.down = False
    await rig.sessions.record()
    assert await rig.instances_of() == [None]
    await rig.sessions.record()
    assert rig.devices.calls["record_activity"] == 3


async def test_ends_that_wait_are_bounded(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_sessions, "MOST_ENDED", 1)
    for session in [await rig.enter(user) for user in ("alice", "bob")]:
        rig.sessions.leave(session)
    await rig.sessions.record()
    assert await rig.instances_of("alice") == ["notif-1"]
    assert await rig.instances_of("bob") == [None]


async def test_a_session_that_ends_while_it_is_recorded_is_no_error(rig: Rig) -> None:
    session = await rig.enter()
    rig.now = RECORDED_EVERY_S
    rig.sessions.hear(session)
    rig.devices.blocked = True
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(rig.sessions.record())
        await until(lambda: rig.devices.calls["record_activity"] == 1, "the record is asked")
        rig.sessions.leave(session)
        rig.devices.blocked = False
    await rig.sessions.record()
    assert await rig.instances_of() == [None]


async def test_a_session_may_lose_its_device_before_it_is_in_the_registry(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_of("alice")
    connect = rig.devices.connect_device

    async def connect_and_lose(login: Login) -> object:
        connected = await connect(login)
        rig.sessions.lose(SessionLost(session.session_id))
        return connected

    monkeypatch.setattr(rig.devices, "connect_device", connect_and_lose)
    await rig.sessions.enter(session)
    assert session.ending is not None
    assert session.ending.reason.startswith("deregistered:")
    rig.sessions.lose(SessionLost("sess_of_another_instance"))


async def test_nothing_is_recorded_of_a_refused_session(rig: Rig) -> None:
    session = session_of("alice")
    await rig.sessions.enter(session)
    await rig.devices.remove_device("alice", session.device_id, LATER)
    again = Session(session.socket, session.identity, session.device_id, "notif-1", budget=1)
    with pytest.raises(Refused, match="deregistered:"):
        await rig.sessions.enter(again)
    rig.sessions.leave(again)
    await rig.sessions.record()
    assert rig.devices.calls["record_activity"] == 0


async def test_a_login_that_may_have_been_recorded_is_ended(rig: Rig) -> None:
    session = session_of("alice")
    rig.devices.outcomes["connect_device"] = Unavailable("no answer")
    with pytest.raises(Unavailable):
        await rig.sessions.enter(session)
    rig.sessions.leave(session)
    rig.devices.outcomes.clear()
    rig.devices.outcomes["record_activity"] = []
    await rig.sessions.record()
    assert rig.devices.calls["record_activity"] == 1


async def test_a_live_session_takes_its_device_over_from_one_that_the_record_names(rig: Rig) -> None:
    session = await rig.enter()
    other = Session(session.socket, session.identity, session.device_id, "notif-2", budget=1)
    await DeviceSessions(rig.devices, FaultyBus()).enter(other)
    assert await rig.instances_of() == ["notif-2"]
    rig.now = RECORDED_EVERY_S
    rig.sessions.hear(session)
    await rig.sessions.record()
    assert (await rig.instances_of(), session.ending) == (["notif-1"], None)
