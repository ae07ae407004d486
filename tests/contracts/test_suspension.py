"""Every call of every port gives up the event loop at least once, so that tests see real interleavings."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Generator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from fanout.events import StoredMessage
from fanout.ports import (
    authenticator,
    bus,
    devices,
    followers,
    imports,
    log,
    memberships,
    messages,
    presence,
    receipts,
    unread,
)
from fanout.ports.devices import Login, Profile
from fanout.ports.log import StoredEvent
from fanout.ports.memberships import Channel
from fanout.ports.presence import DeviceConnection, Lease
from fanout.ports.unread import CountedMessage, ReadPosition
from fanout.streams import MESSAGES
from services.adapters.embedded.bus import EmbeddedBus
from services.adapters.embedded.log import EmbeddedLog
from services.adapters.embedded.presence import EmbeddedPresence
from services.adapters.sqlite.memberships import SqliteMemberships
from services.adapters.sqlite.messages import SqliteMessages
from services.adapters.sqlite.unread import SqliteUnread
from tests.support.authenticator import StubAuthenticator
from tests.support.faulty import FaultyBus, FaultyLog, FaultyMemberships, FaultyMessages, FaultyPresence, FaultyUnread

NOW = "2026-02-01T10:00:00.000Z"
MESSAGE = StoredMessage("msg_1", "general", "alice", "Hello", NOW, seq=1)
CONNECTION = DeviceConnection("alice", "dev_web_1", "notif-1", NOW)
LEASE = Lease("notif-1", "1", "ws://127.0.0.1:8081/ws", NOW, 0, 10)
STORED = StoredEvent(1, "messages.send.general", b"{}")

PHONE = "dev_ios_01HZ0000000000000000000000"
LOGIN = Login(user_id="alice", device_id=PHONE, session_id="s", instance_id="notif-1", at=NOW)

ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "Authenticator.verify": ("user:alice",),
    "Bus.publish": ("a.b", b"x"),
    "Bus.publish_many": ([],),
    "Bus.subscribe": ("a.b", lambda *_: None),
    "Consumer.ack": ([STORED],),
    "Consumer.retry": ([STORED], 0.0),
    "Log.acknowledged": (MESSAGES, "message-writer"),
    "Log.append": ("messages.send.general", b"{}"),
    "Log.dead_letter": (MESSAGES, STORED, "no reason"),
    "Log.claim": (MESSAGES, 0, "worker-1"),
    "Log.consume": (MESSAGES, "message-writer"),
    "Log.get": (MESSAGES, 1),
    "Log.last_seq": (MESSAGES,),
    "Log.missed_reset": (MESSAGES, 0),
    "Log.pages": (MESSAGES,),
    "Log.recall": (MESSAGES, 1, 0),
    "Log.read": (MESSAGES,),
    "Log.seq_at": (MESSAGES, 0.0),
    "Log.tail": (MESSAGES,),
    "Imports.add_memberships": ([],),
    "Imports.create_channels": ([],),
    "Imports.keep_progress": ("name", "10"),
    "Imports.missing_channels": (["general"],),
    "Imports.progress": ("name",),
    "Memberships.add": ("general", ["bob"], NOW),
    "Memberships.channel": ("general",),
    "Memberships.packed_channels_of": ("alice",),
    "Memberships.channels_page": ("alice", "", 10),
    "Memberships.create": (Channel("second", "Second", private=False, created_by="alice", created_at=NOW), ["alice"]),
    "Memberships.is_member": ("general", "alice"),
    "Memberships.members_of": ("general",),
    "Memberships.member_count": ("general", 2),
    "Memberships.changed_since": (0,),
    "Memberships.creation_published": ("general",),
    "Memberships.membership": ("general", "alice"),
    "Memberships.prune": (10,),
    "Memberships.remove": ("general", "alice", NOW),
    "Memberships.renew": ([],),
    "Memberships.resume_creation": ("general",),
    "Memberships.mark_published": ([],),
    "Memberships.unfinished": (10,),
    "Memberships.unpublished": (10,),
    "Devices.connect_device": (LOGIN,),
    "Devices.devices_of": ("alice",),
    "Devices.record_activity": ([],),
    "Devices.register_device": ("alice", PHONE, Profile(), NOW),
    "Devices.remove_device": ("alice", PHONE, NOW),
    "Followers.follow": ("general", "msg_1", ["alice"]),
    "Followers.followers_of": ("msg_1",),
    "Messages.history": ("general",),
    "Messages.index_entry": ("msg_1",),
    "Messages.replies": ("msg_1",),
    "Messages.reply_count": ("msg_1",),
    "Messages.position_of": ("general", "msg_1"),
    "Messages.write": ([MESSAGE],),
    "Receipts.receipts_of": ("general", "msg_1", 10),
    "Receipts.write_receipts": ([],),
    "PartitionReader.ack": (1,),
    "UnreadCounts.correct": ("alice", "general", ReadPosition(), []),
    "UnreadCounts.count": ([CountedMessage(1, "general", "msg_1", "alice")],),
    "UnreadCounts.joined": ("alice", "general", 1, ReadPosition()),
    "UnreadCounts.left": ("alice", "general", 1),
    "UnreadCounts.mark_read": ("alice", "general", ReadPosition(1, 1)),
    "UnreadCounts.states": ("alice", ["general"]),
    "UnreadCounts.unread": ("alice", ["general"]),
    "Connections.connect": (CONNECTION,),
    "Connections.connections_of": ("alice",),
    "Connections.disconnect": (CONNECTION,),
    "Leases.lease": (LEASE,),
    "Aggregates.changed_within": (60.0,),
    "Aggregates.presences_of": (["alice"],),
    "Aggregates.set_status": ("alice", "", ""),
    "Aggregates.sweep": (10,),
    "Aggregates.told": ([],),
    "Aggregates.untold": (10,),
    "Connections.locations_of": ("alice",),
    "Leases.release": ("notif-1",),
    "Connections.renew": ([CONNECTION],),
}
KEYWORDS: dict[str, dict[str, Any]] = {
    "Log.append": {"msg_id": "1"},
    "Log.pages": {"after": 0, "upto": 0},
    "Log.read": {"after": 0, "upto": 0},
    "Log.tail": {"after": 0},
    "Memberships.changed_since": {"limit": 10},
    "Connections.disconnect": {"last": True},
    "UnreadCounts.count": {"after": 0},
}


class _Watched:
    """Awaits something, and counts how often it gives up the loop."""

    def __init__(self, call: Awaitable[Any]) -> None:
        self._call = call
        self.suspensions = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._call.__await__()
        while True:
            try:
                waits_for = steps.send(None)
            except StopIteration as ended:
                return ended.value
            self.suspensions += 1
            yield waits_for


async def _suspensions(adapter: object, port: type, method: str) -> int:
    name = f"{port.__name__}.{method}"
    call = getattr(adapter, method)(*ARGUMENTS.get(name, ()), **KEYWORDS.get(name, {}))
    watched = _Watched(_exhausted(call) if inspect.isasyncgen(call) else call)
    await watched
    return watched.suspensions


async def _exhausted(items: AsyncIterator[object]) -> None:
    async for _ in items:
        pass


def _methods(port: type) -> list[str]:
    """The calls of a port: a coroutine each, or an async iterator."""
    return [
        name
        for name, member in vars(port).items()
        if inspect.iscoroutinefunction(member)
        or (inspect.isfunction(member) and "AsyncIterator" in str(inspect.signature(member).return_annotation))
    ]


def _calls(*ports: type) -> list[tuple[type, str]]:
    return [(port, method) for port in ports for method in _methods(port)]


def _named(call: object) -> str:
    return call.__name__ if isinstance(call, type) else str(call)


@pytest.mark.parametrize(("port", "method"), _calls(log.Log, log.Consumer, log.Tail, log.PartitionReader), ids=_named)
@pytest.mark.parametrize("adapter", [EmbeddedLog, FaultyLog])
async def test_each_call_of_the_embedded_log_suspends(
    adapter: type[EmbeddedLog], port: type, method: str, tmp_path: Path
) -> None:
    opened = await adapter.open(tmp_path / "log.db")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(opened.close)
        await opened.append("messages.send.general", b"{}", msg_id="first")
        parts: dict[type, Any] = {
            log.Log: opened,
            log.Consumer: await opened.consume(MESSAGES, "message-writer"),
            log.Tail: await opened.tail(MESSAGES, after=0),
            log.PartitionReader: await opened.claim(MESSAGES, 0, "worker-1"),
        }
        assert await _suspensions(parts[port], port, method)


@pytest.mark.parametrize(("port", "method"), _calls(bus.Bus, bus.Subscription), ids=_named)
@pytest.mark.parametrize("adapter", [EmbeddedBus, FaultyBus])
async def test_each_call_of_the_embedded_bus_suspends(adapter: type[EmbeddedBus], port: type, method: str) -> None:
    opened = adapter()
    part = opened if port is bus.Bus else await opened.subscribe("a.b", lambda *_: None)
    assert await _suspensions(part, port, method)


@pytest.mark.parametrize(
    ("port", "method"), _calls(presence.Connections, presence.Leases, presence.Aggregates), ids=_named
)
@pytest.mark.parametrize("adapter", [EmbeddedPresence, FaultyPresence])
async def test_each_call_of_embedded_presence_suspends(adapter: type, port: type, method: str) -> None:
    assert await _suspensions(adapter(), port, method)


@pytest.mark.parametrize("method", _methods(memberships.Memberships))
@pytest.mark.parametrize("adapter", [SqliteMemberships, FaultyMemberships])
async def test_each_call_of_memberships_suspends(adapter: type[SqliteMemberships], method: str) -> None:
    store = await adapter.open(None)
    await store.create(Channel("general", "General", private=False, created_by="alice", created_at=NOW), ["alice"])
    assert await _suspensions(store, memberships.Memberships, method)
    await store.close()


@pytest.mark.parametrize("method", _methods(imports.Imports))
async def test_each_call_of_imports_suspends(method: str) -> None:
    store = await SqliteMemberships.open(None)
    assert await _suspensions(store.imports, imports.Imports, method)
    await store.close()


@pytest.mark.parametrize("method", _methods(devices.Devices))
@pytest.mark.parametrize("adapter", [SqliteMemberships, FaultyMemberships])
async def test_each_call_of_devices_suspends(adapter: type[SqliteMemberships], method: str) -> None:
    store = await adapter.open(None)
    assert await _suspensions(store, devices.Devices, method)
    await store.close()


@pytest.mark.parametrize("method", _methods(followers.Followers))
@pytest.mark.parametrize("adapter", [SqliteMemberships, FaultyMemberships])
async def test_each_call_of_followers_suspends(adapter: type[SqliteMemberships], method: str) -> None:
    store = await adapter.open(None)
    assert await _suspensions(store, followers.Followers, method)
    await store.close()


@pytest.mark.parametrize("method", _methods(messages.Messages))
@pytest.mark.parametrize("adapter", [SqliteMessages, FaultyMessages])
async def test_each_call_of_messages_suspends(adapter: type[SqliteMessages], method: str) -> None:
    store = await adapter.open(None)
    assert await _suspensions(store, messages.Messages, method)
    await store.close()


@pytest.mark.parametrize("method", _methods(receipts.Receipts))
@pytest.mark.parametrize("adapter", [SqliteMessages, FaultyMessages])
async def test_each_call_of_receipts_suspends(adapter: type[SqliteMessages], method: str) -> None:
    store = await adapter.open(None)
    assert await _suspensions(store, receipts.Receipts, method)
    await store.close()


@pytest.mark.parametrize("method", _methods(unread.UnreadCounts))
@pytest.mark.parametrize("adapter", [SqliteUnread, FaultyUnread])
async def test_each_call_of_unread_counts_suspends(adapter: type[SqliteUnread], method: str) -> None:
    store = await adapter.open(None)
    assert await _suspensions(store, unread.UnreadCounts, method)
    await store.close()


@pytest.mark.parametrize("method", _methods(authenticator.Authenticator))
async def test_each_call_of_the_stub_authenticator_suspends(method: str) -> None:
    assert await _suspensions(StubAuthenticator(), authenticator.Authenticator, method)
