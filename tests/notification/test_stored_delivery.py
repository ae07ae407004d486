"""Stored events: messages go to the readers of their channel once, and membership events change who reads."""

import json
from types import SimpleNamespace
from typing import cast

import pytest

from fanout import InvalidEvent, text_frame
from fanout.events import MemberJoined, MemberLeft, encode
from fanout.lanes import Lane
from fanout.membership_versions import CLOCK_SKEW_US
from fanout.packed_ids import pack
from fanout.ports.log import Log
from fanout.ports.memberships import Memberships
from fanout.streams import MESSAGES, META, RECEIPTS
from services.notification.delivered_lanes import DeliveredLanes
from services.notification.metrics import STALE_DROPPED
from services.notification.registry import Registry
from services.notification.stored_delivery import StoredDelivery
from services.runtime.membership_order import MembershipOrder
from tests.support.harness import Client
from tests.support.sessions import session_of

GENERAL = "general"
MESSAGE = b'{"type":"message.new","seq":%d,"part":0,"channel_id":"general","message":{"message_id":"m","text":"x"}}'


class Rig:
    """Alice, who reads the channel `general`."""

    def __init__(self) -> None:
        self.registry = Registry()
        order = MembershipOrder(cast("Memberships", self), known_at=0)
        self.delivery = StoredDelivery(self.registry, DeliveredLanes(cast("Log", None)), order)
        self.session = session_of("alice")
        self._version = CLOCK_SKEW_US

    async def membership(self, _channel_id: str, _user_id: str) -> SimpleNamespace:
        """As the membership store: no change is newer than the last one."""
        return SimpleNamespace(version=self._version)

    async def enter(self) -> None:
        self.registry.add(self.session)
        await self.registry.subscribe(self.session, pack([GENERAL]))
        self.registry.write_queue.open(self.session, b"")

    async def deliver(self, stream: str, event: bytes, *, channel: str = GENERAL, also: str | None = None) -> None:
        seq = json.loads(event).get("seq", 1)
        await self.delivery.deliver(Lane(stream, 0), seq, channel, event, text_frame(event), also=also)
        self.registry.write_queue.flush(self.session)

    async def change(self, kind: type[MemberJoined | MemberLeft], user_id: str) -> None:
        self._version += 1
        await self.deliver(META, encode(kind("evt_1", GENERAL, user_id, "2026-02-01T10:00:00.000Z", self._version)))

    @property
    def client(self) -> Client:
        return cast("Client", self.session.socket)


@pytest.fixture
async def rig() -> Rig:
    built = Rig()
    await built.enter()
    return built


async def test_a_message_that_comes_again_under_another_seq_is_delivered_once(rig: Rig) -> None:
    dropped = STALE_DROPPED._value.get()
    for seq in (5, 1_000_000):
        await rig.deliver(MESSAGES, MESSAGE % seq)
    assert [frame["seq"] for frame in rig.client.of_type("message.new")] == [5]
    assert STALE_DROPPED._value.get() == dropped + 1


async def test_messages_alone_are_left_out_for_a_session_that_has_the_log_up_to_their_seq(rig: Rig) -> None:
    rig.registry.write_queue.go_live(rig.session, 5)
    for seq in (5, 6):
        await rig.deliver(MESSAGES, MESSAGE.replace(b'"m"', b'"m%d"' % seq) % seq)
    await rig.deliver(RECEIPTS, b'{"type":"receipt.read","seq":4}')
    assert [(frame["type"], frame["seq"]) for frame in rig.client.frames] == [("message.new", 6), ("receipt.read", 4)]


async def test_a_user_whom_the_event_names_gets_it_too_and_once(rig: Rig) -> None:
    await rig.deliver(MESSAGES, MESSAGE.replace(b'"m"', b'"m1"') % 5, channel="random")
    await rig.deliver(MESSAGES, MESSAGE.replace(b'"m"', b'"m2"') % 6, channel="random", also="alice")
    await rig.deliver(MESSAGES, MESSAGE.replace(b'"m"', b'"m3"') % 7, also="alice")
    assert [frame["seq"] for frame in rig.client.of_type("message.new")] == [6, 7]


async def test_who_left_is_told_and_reads_no_more(rig: Rig) -> None:
    await rig.change(MemberLeft, "alice")
    assert [frame["type"] for frame in rig.client.frames] == ["member.left"]
    assert not rig.registry.is_member("alice", GENERAL)
    await rig.deliver(MESSAGES, MESSAGE % 6)
    assert not rig.client.texts()


async def test_changes_are_counted_for_those_who_watch_the_user(rig: Rig) -> None:
    with rig.delivery.watching("alice") as alice, rig.delivery.watching("bob") as bob:
        await rig.change(MemberLeft, "alice")
        await rig.change(MemberJoined, "alice")
    await rig.change(MemberLeft, "alice")
    assert (alice.count, bob.count) == (2, 0)


async def test_a_membership_event_that_cannot_be_read_is_an_error(rig: Rig) -> None:
    with pytest.raises(InvalidEvent):
        await rig.deliver(META, b'{"type":"member.promoted"}')
