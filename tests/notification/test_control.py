"""What an instance answers to workers and to other instances."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from fanout import presence_digest, workers
from fanout.error_codes import CloseCode
from fanout.ports.authenticator import Identity
from fanout.subjects import PRESENCE_DIGESTS, instance_control, worker_inbox
from fanout.workers import (
    PresenceDigest,
    PresenceSetPage,
    PresenceSetRequest,
    Replaced,
    RoutingConfirmed,
    SessionLost,
    decode_digest,
    decode_presence_set_page,
)
from services.notification.channel_lists import ChannelLists
from services.notification.control import Control
from services.notification.device_sessions import DeviceSessions
from services.notification.registry import Registry
from services.notification.routing_barrier import RoutingBarrier
from services.notification.session import Session
from services.runtime.tasks import Tasks
from tests.support.faulty import NO_DEVICES, FaultyBus
from tests.support.harness import Client
from tests.support.observing import until


class Rig:
    def __init__(self, tasks: Tasks) -> None:
        self.bus = FaultyBus()
        self.registry = Registry()
        self.routing_barrier = RoutingBarrier("notif-1", "first", self.bus)
        self.channel_lists = ChannelLists("notif-1", self.bus, self.routing_barrier)
        self.device_sessions = DeviceSessions(NO_DEVICES, self.bus)
        self.control = Control(
            "notif-1",
            "first",
            self.bus,
            self.registry,
            self.routing_barrier,
            self.channel_lists,
            self.device_sessions,
            tasks,
        )
        self.digests: list[PresenceDigest] = []
        self.pages: list[PresenceSetPage] = []

    async def listen(self) -> None:
        await self.control.listen()
        await self.bus.subscribe(PRESENCE_DIGESTS, lambda _, payload: self.digests.append(decode_digest(payload)))
        await self.bus.subscribe(
            worker_inbox("w"), lambda _, payload: self.pages.append(decode_presence_set_page(payload))
        )

    def _hear_page(self, _subject: str, payload: bytes) -> None:
        self.pages.append(decode_presence_set_page(payload))

    async def tell(self, message: Any) -> None:
        payload = message if isinstance(message, bytes) else msgspec.json.encode(message)
        await self.bus.publish(instance_control("notif-1"), payload)

    def session(self, user_id: str, connected_at: str = "2026-02-01T10:30:00.000Z") -> Session:
        client = Client(user_id)
        session = Session(client, Identity(user_id, 4e9), client.device_id, "notif-1", 1 << 20)
        session.connected_at = connected_at
        self.registry.add(session)
        return session


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    failures: list[BaseException] = []
    async with Tasks(failures.append) as tasks:
        built = Rig(tasks)
        await built.listen()
        yield built
    assert not failures


async def test_a_digest_says_who_is_here_as_they_come_and_go(rig: Rig) -> None:
    await rig.control.publish_digest()
    alice, again, bob = rig.session("alice"), rig.session("alice"), rig.session("bob")
    await rig.control.publish_digest()
    for session in (alice, bob):
        await rig.registry.remove(session)
    await rig.control.publish_digest()
    await rig.registry.remove(again)
    await rig.control.publish_digest()
    await until(lambda: len(rig.digests) == 4, "all heard")
    expected = [presence_digest(users) for users in ([], ["alice", "bob"], ["alice"], [])]
    assert [(digest.users, digest.digest) for digest in rig.digests] == expected
    assert {(digest.instance, digest.incarnation, digest.stopped) for digest in rig.digests} == {
        ("notif-1", "first", False)
    }


async def test_after_the_last_word_there_is_no_digest(rig: Rig) -> None:
    await rig.control.say_stopped()
    await rig.control.publish_digest()
    await until(lambda: bool(rig.digests), "the last word is heard")
    await asyncio.sleep(0.01)
    assert [digest.stopped for digest in rig.digests] == [True]


async def test_without_the_bus_the_last_word_is_left_out(rig: Rig) -> None:
    rig.bus.down = True
    with capture_logs() as logs:
        await rig.control.say_stopped()
    assert [entry["event"] for entry in logs] == ["workers could not be notified that the instance stops"]


@pytest.mark.parametrize(("users", "lengths"), [(0, [0]), (1, [1]), (3, [3]), (7, [3, 3, 1])])
async def test_the_presence_set_comes_in_pages(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, users: int, lengths: list[int]
) -> None:
    monkeypatch.setattr(workers, "MAX_USERS", 3)
    for number in range(users):
        rig.session(f"user-{number}")
    await rig.tell(PresenceSetRequest("w", "7"))
    await until(lambda: bool(rig.pages) and rig.pages[-1].last, "the last page")
    assert [len(page.users) for page in rig.pages] == lengths
    assert [page.page for page in rig.pages] == list(range(len(lengths)))
    assert [page.last for page in rig.pages] == [False] * (len(lengths) - 1) + [True]
    assert {(page.instance, page.incarnation, page.request) for page in rig.pages} == {("notif-1", "first", "7")}
    assert sorted(user for page in rig.pages for user in page.users) == [f"user-{number}" for number in range(users)]


async def test_a_worker_that_knows_the_presence_set_is_only_told_so(rig: Rig) -> None:
    rig.session("alice")
    await rig.routing_barrier.announce_departure("bob")
    await rig.tell(PresenceSetRequest("w", "7", presence_digest(["alice"])))
    await until(lambda: bool(rig.pages), "the only page")
    assert [(page.unchanged, page.last, page.users) for page in rig.pages] == [(True, True, [])]
    await rig.tell(PresenceSetRequest("w", "8", presence_digest(["bob"])))
    await until(lambda: len(rig.pages) == 2, "the whole set")
    assert (rig.pages[1].unchanged, rig.pages[1].users) == (False, ["alice"])
    assert [page.announced for page in rig.pages] == [1, 1]


async def test_a_presence_set_that_cannot_be_sent_is_given_up(rig: Rig) -> None:
    rig.session("alice")
    with capture_logs() as logs:
        await rig.tell(PresenceSetRequest("w", "7"))
        rig.bus.down = True
        await until(lambda: any(entry["event"].startswith("presence set not sent") for entry in logs), "it was tried")
    assert rig.pages == []


async def test_a_session_whose_device_was_removed_is_handed_on(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[SessionLost] = []
    monkeypatch.setattr(rig.device_sessions, "lose", lost.append)
    await rig.tell(SessionLost("sess_1"))
    await until(lambda: lost == [SessionLost("sess_1")], "handed on")


async def test_only_older_connections_of_the_device_are_replaced(rig: Rig) -> None:
    older, other_device, newer = rig.session("alice"), rig.session("alice"), rig.session("alice")
    newer.device_id = older.device_id
    for order, session in enumerate((older, other_device, newer), start=1):
        session.recorded(order)
    await rig.tell(Replaced("alice", older.device_id, 2))
    await until(lambda: older.ending is not None, "replaced")
    assert older.ending is not None
    assert older.ending.code == CloseCode.REPLACED
    assert (newer.ending, other_device.ending) == (None, None)


async def test_the_confirmation_of_a_worker_is_handed_on(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    confirmed: list[RoutingConfirmed] = []
    monkeypatch.setattr(rig.routing_barrier, "confirm", confirmed.append)
    await rig.tell(RoutingConfirmed("w", "first", {"alice": 1}, 0))
    await until(lambda: confirmed == [RoutingConfirmed("w", "first", {"alice": 1}, 0)], "handed on")


async def test_what_is_malformed_is_skipped(rig: Rig) -> None:
    for payload in (b"not json", b"{}", b'{"type":"of a later version"}'):
        await rig.tell(payload)
    await rig.tell(PresenceSetRequest("w", "7"))
    await until(lambda: bool(rig.pages), "what comes after is answered")
