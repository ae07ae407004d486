"""The records of connections: written and renewed in batches, at once where something is new, and ended."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from fanout import Unavailable
from fanout.error_codes import CloseCode
from fanout.ports.presence import DeviceConnection, Renewal, UserPresence
from fanout.workers import Replaced, decode_control
from services.notification import connection_records
from services.notification.connection_records import ConnectionRecords
from services.notification.registry import Registry
from services.notification.session import Session
from services.runtime.tasks import Tasks
from tests.support.faulty import FaultyBus, FaultyPresence
from tests.support.harness import Client
from tests.support.observing import until
from tests.support.presence_worlds import lease_of
from tests.support.sessions import session_of


class Presence(FaultyPresence):
    """Notes what is renewed."""

    def __init__(self) -> None:
        super().__init__()
        self.renewed: list[list[DeviceConnection]] = []

    async def renew(self, connections: Sequence[DeviceConnection]) -> Renewal:
        renewal = await super().renew(connections)
        self.renewed.append(list(connections))
        return renewal

    def users(self) -> list[str]:
        return [connection.user_id for some in self.renewed for connection in some]


class Published(list[UserPresence]):
    """Stands for the publisher."""

    def publish(self, changes: Sequence[UserPresence]) -> None:
        self.extend(changes)

    def statuses(self) -> list[str]:
        return [change.status for change in self]


class Rig:
    def __init__(self) -> None:
        self.presence = Presence()
        self.registry = Registry()
        self.published = Published()
        self.bus = FaultyBus()
        publisher: Any = self.published
        self.records = ConnectionRecords("first", self.presence, self.registry, publisher, self.bus)

    async def session(self, user_id: str = "alice") -> Session:
        session = session_of(user_id)
        self.registry.add(session)
        await self.records.connect(session)
        return session


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Tasks(lambda _: None) as tasks:
        built = Rig()
        await built.presence.lease(lease_of("notif-1", incarnation="first"))
        tasks.start(built.records.run(), "renewing at once")
        yield built


async def test_a_session_is_recorded_and_the_change_is_published(rig: Rig) -> None:
    session = await rig.session()
    [held] = await rig.presence.connections_of("alice")
    assert (held.device_id, held.incarnation, held.client_state) == (session.device_id, "first", "idle")
    assert (held.order, rig.published.statuses()) == (session.order, ["idle"])


async def test_the_instance_that_held_the_device_is_told(rig: Rig) -> None:
    session = session_of("alice")
    before = replace(session.connection("first"), instance_id="notif-2")
    await rig.presence.connect(before)
    await rig.records.connect(session)
    [(subject, payload)] = rig.bus.published
    assert subject == "instance.control.notif-2"
    assert decode_control(payload) == Replaced("alice", session.device_id, session.order)


async def test_a_bus_that_is_away_is_no_error(rig: Rig) -> None:
    session = session_of("alice")
    await rig.presence.connect(replace(session.connection("first"), instance_id="notif-2"))
    rig.bus.down = True
    await rig.records.connect(session)
    assert session.order


async def test_connections_that_were_heard_are_renewed_some_at_a_time(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_records, "RENEWED_AT_ONCE", 3)
    sessions = [await rig.session(f"user-{number}") for number in range(8)]
    for session in sessions[:7]:
        rig.records.renew(session)
    sessions[0].end(CloseCode.MALFORMED, "it goes")
    await rig.records.renew_heard()
    assert max(map(len, rig.presence.renewed)) == 3
    assert sorted(rig.presence.users()) == [f"user-{number}" for number in range(1, 7)]
    await rig.records.renew_heard()
    assert len(rig.presence.users()) == 6, "each once for a heartbeat"


async def test_connections_that_could_not_be_renewed_are_renewed_later(rig: Rig) -> None:
    rig.records.renew(await rig.session())
    rig.presence.down = True
    with pytest.raises(Unavailable):
        await rig.records.renew_heard()
    rig.presence.down = False
    await rig.records.renew_heard()
    assert rig.presence.users() == ["alice"]


async def test_what_is_new_is_written_at_once_with_all_else_that_is_new(rig: Rig) -> None:
    sessions = [await rig.session(f"user-{number}") for number in range(3)]
    for session in sessions:
        session.attends("active", None)
        rig.records.renew(session, at_once=True)
    await until(lambda: bool(rig.presence.renewed), "renewed")
    assert len(rig.presence.renewed) == 1
    assert rig.published.statuses() == ["idle"] * 3 + ["online"] * 3


async def test_what_is_new_while_the_store_is_away_is_written_later(rig: Rig) -> None:
    session = await rig.session()
    session.attends("active", None)
    rig.presence.down = True
    rig.records.renew(session, at_once=True)
    await until(lambda: rig.presence.calls["renew"] == 1, "tried")
    rig.presence.down = False
    await rig.records.renew_heard()
    assert rig.published.statuses() == ["idle", "online"]


async def test_all_are_renewed_when_the_store_may_have_lost_them(rig: Rig) -> None:
    for number in range(3):
        await rig.session(f"user-{number}")
    unrecorded = session_of("unrecorded")
    rig.registry.add(unrecorded)
    rig.records.renew_all()
    await rig.records.renew_heard()
    assert sorted(rig.presence.users()) == ["user-0", "user-1", "user-2"]


async def test_a_session_whose_device_has_connected_elsewhere_ends(rig: Rig) -> None:
    session, other = await rig.session(), await rig.session()
    await rig.presence.connect(session.connection("first"))
    for each in (session, other):
        rig.records.renew(each)
    await rig.records.renew_heard()
    assert session.ending is not None
    assert (session.ending.code, other.ending) == (CloseCode.REPLACED, None)


@pytest.mark.parametrize(("clean", "status"), [(True, "offline"), (False, "idle")])
async def test_who_closes_the_connection_is_gone_at_once_and_others_may_come_back(
    rig: Rig, *, clean: bool, status: str
) -> None:
    session = await rig.session()
    assert isinstance(session.socket, Client)
    (session.socket.leave if clean else session.socket.hang_up)()
    await rig.records.disconnect(session, last=True)
    assert (await rig.presence.presences_of(["alice"]))["alice"].status == status
    assert rig.published.statuses() == (["idle", "offline"] if clean else ["idle"])


async def test_a_client_that_was_sent_away_may_come_back(rig: Rig) -> None:
    session = await rig.session()
    assert isinstance(session.socket, Client)
    session.end(CloseCode.DRAINING, "the instance stops")
    session.socket.leave()
    await rig.records.disconnect(session, last=True)
    assert (await rig.presence.presences_of(["alice"]))["alice"].status == "idle"


async def test_the_end_of_a_session_is_not_recorded_while_the_store_is_away(rig: Rig) -> None:
    session = await rig.session()
    rig.presence.down = True
    await rig.records.disconnect(session, last=True)
    assert rig.published.statuses() == ["idle"]
