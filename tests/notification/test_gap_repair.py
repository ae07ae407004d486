"""Gaps are repaired from the log: what is missing is delivered in order, after the membership changes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

import pytest
from msgspec import Raw

from fanout import Unavailable, lanes
from fanout.events import MemberJoined, MemberLeft, Message, MessageEvent, ReceiptRead, encode, timestamp
from fanout.ids import new_event_id, new_message_id
from fanout.lanes import Lane
from fanout.membership_versions import CLOCK_SKEW_US
from fanout.packed_ids import pack
from fanout.ports.log import StoredEvent
from fanout.ports.memberships import Memberships
from fanout.streams import MESSAGES, META, RECEIPTS, STREAMS
from fanout.subjects import member_joined, member_left, message, receipt
from services.notification import gap_repair
from services.notification.delivered_lanes import DeliveredLanes
from services.notification.gap_repair import GapRepair
from services.notification.metrics import GAPS_PASSED_OVER, GAPS_REPAIRED
from services.notification.registry import Registry
from services.notification.stored_delivery import StoredDelivery
from services.runtime.membership_order import MembershipOrder
from tests.support.faulty import FaultyLog, faulty_log
from tests.support.harness import Client
from tests.support.reading import soon
from tests.support.sessions import session_of

GENERAL = "general"
LANE = Lane(MESSAGES, 0)
RECEIPTS_LANE = Lane(RECEIPTS, 0)


class Rig:
    """Alice, who reads the channel `general`, and a log of one partition."""

    def __init__(self, log: FaultyLog) -> None:
        self.log = log
        self.lanes = DeliveredLanes(log)
        self.registry = Registry()
        order = MembershipOrder(cast("Memberships", None), known_at=0)
        delivery = StoredDelivery(self.registry, self.lanes, order)
        self.now = 1000.0
        self.gap_repair = GapRepair(
            log,
            self.lanes,
            delivery,
            self.registry.write_queue,
            lambda user, seq: self.early.append((user, seq)),
            clock=lambda: self.now,
        )
        self.early: list[tuple[str, int]] = []
        self.session = session_of("alice")

    async def enter(self) -> None:
        self.registry.add(self.session)
        await self.registry.subscribe(self.session, pack([GENERAL]))
        self.registry.write_queue.open(self.session, b"")

    async def store(self, *texts: str, **fields: Any) -> None:
        for text in texts:
            body = Message(new_message_id(), GENERAL, "bob", text, timestamp(), **fields)
            event = MessageEvent(new_event_id(), "message.new", GENERAL, Raw(encode(body)))
            await self.log.append(message(GENERAL), encode(event), msg_id=event.event_id)

    async def read(self, *readers: str) -> None:
        for reader in readers:
            event = ReceiptRead(new_event_id(), GENERAL, new_message_id(), [reader], timestamp())
            await self.log.append(receipt(GENERAL), encode(event), msg_id=event.event_id)

    async def repair_receipts(self, upto: int) -> list[str]:
        await self.gap_repair.repair(RECEIPTS_LANE, upto, [])
        self.registry.write_queue.flush(self.session)
        return [frame["read_by"][0] for frame in cast("Client", self.session.socket).of_type("receipt.read")]

    async def repair(self, upto: int) -> list[str]:
        await self.gap_repair.repair(LANE, upto, [])
        self.registry.write_queue.flush(self.session)
        return cast("Client", self.session.socket).texts()


def _passed_over() -> float:
    count: float = GAPS_PASSED_OVER.labels(RECEIPTS)._value.get()
    return count


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with faulty_log(partitions=1) as log:
        built = Rig(log)
        await built.enter()
        yield built


async def test_what_is_missing_is_delivered_and_nothing_beyond_it(rig: Rig) -> None:
    repaired = GAPS_REPAIRED._value.get()
    await rig.store("0", "1", "2", "3")
    rig.lanes.advance(LANE, 1)
    assert await rig.repair(3) == ["1", "2"]
    assert rig.lanes.upto(LANE) == 3
    assert GAPS_REPAIRED._value.get() == repaired + 1


async def test_a_reply_becomes_the_frame_that_a_batch_would_have_brought(rig: Rig) -> None:
    thread = new_message_id()
    await rig.store("alone", thread_id=thread)
    await rig.store("both", thread_id=thread, also_send_to_channel=True)
    assert await rig.repair(2) == ["both"]
    client = cast("Client", rig.session.socket)
    (alone,), (both,) = client.of_type("thread.reply"), client.of_type("message.new")
    assert list(alone) == ["type", "seq", "part", "channel_id", "thread_id", "message"]
    assert (alone["thread_id"], alone["message"]["text"], alone["message"]["thread_id"]) == (thread, "alone", thread)
    assert "thread_id" not in both
    assert both["message"]["thread_id"] == thread


async def test_the_reading_is_tried_again_until_it_succeeds(rig: Rig) -> None:
    await rig.store("0", "1")
    rig.log.fail_after = 1
    assert await rig.repair(2) == ["0", "1"]


async def test_an_event_that_cannot_be_delivered_does_not_stop_the_others(rig: Rig) -> None:
    await rig.store("0")
    await rig.log.append(message(GENERAL), b'{"type":"message.new"}', msg_id="bad")
    await rig.store("2")
    assert await rig.repair(3) == ["0", "2"]


async def test_an_event_of_a_channel_that_is_none_does_not_stop_the_others(rig: Rig) -> None:
    await rig.store("0")
    await rig.log.append(message("gen\u00e9ral"), b"{}", msg_id="bad")
    await rig.store("2")
    assert await rig.repair(3) == ["0", "2"]


async def test_the_kind_in_the_row_of_the_stream_says_what_clients_get(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.store("wrapped", "as it is stored")
    assert await rig.repair(1) == ["wrapped"]
    of_another_kind = replace(STREAMS[MESSAGES], kind="member")
    monkeypatch.setattr(lanes, "STREAMS", {**STREAMS, MESSAGES: of_another_kind})
    await rig.repair(2)
    [first, second] = cast("Client", rig.session.socket).frames
    assert list(first) == ["type", "seq", "part", "channel_id", "message"]
    assert list(second) == ["event_id", "type", "channel_id", "message"]


async def test_membership_changes_come_first(rig: Rig) -> None:
    await rig.store("not for alice")
    left = MemberLeft(new_event_id(), GENERAL, "alice", timestamp(), CLOCK_SKEW_US + 1)
    await rig.log.append(member_left(GENERAL), encode(left), msg_id=left.event_id)
    assert await rig.repair(1) == []
    assert rig.lanes.upto(Lane(META, 0)) == 1


async def test_a_joining_that_no_worker_has_routed_is_told_of_before_it_is_applied(rig: Rig) -> None:
    for change in (MemberJoined, MemberLeft):
        event = change(new_event_id(), GENERAL, "carol", timestamp(), 1)
        subject = (member_joined if change is MemberJoined else member_left)(GENERAL)
        await rig.log.append(subject, encode(event), msg_id=event.event_id)
    await rig.store("one")
    await rig.repair(1)
    assert rig.early == [("carol", 1)]


class TestAStreamThatMayBeMissed:
    """Clients can read its events elsewhere, so nothing waits long for it."""

    async def test_is_read_as_the_others_while_it_answers(self, rig: Rig) -> None:
        passed_over = _passed_over()
        await rig.read("bob", "carol")
        assert await rig.repair_receipts(2) == ["bob", "carol"]
        assert _passed_over() == passed_over

    @pytest.mark.parametrize("fault", ["away", "hung"])
    async def test_does_not_hold_up_the_inbox_while_it_is(
        self, rig: Rig, monkeypatch: pytest.MonkeyPatch, fault: str
    ) -> None:
        monkeypatch.setattr(gap_repair, "PATIENCE_S", 0.01)
        passed_over, repaired = _passed_over(), GAPS_REPAIRED._value.get()
        await rig.read("bob", "carol")
        getattr(rig.log, fault).add(RECEIPTS)
        assert await soon(rig.repair_receipts(2)) == []
        assert rig.lanes.upto(RECEIPTS_LANE) == 2
        assert (_passed_over(), GAPS_REPAIRED._value.get()) == (passed_over + 1, repaired)

    async def test_keeps_what_came_before_it_stopped(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gap_repair, "PATIENCE_S", 0.01)
        await rig.read("bob", "carol")
        first = (await rig.log.stored(RECEIPTS))[0]

        async def read(*_: object, **_options: object) -> AsyncIterator[StoredEvent]:
            yield first
            await asyncio.Event().wait()

        monkeypatch.setattr(rig.log, "read", read)
        assert await soon(rig.repair_receipts(2)) == ["bob"]
        assert rig.lanes.upto(RECEIPTS_LANE) == 2

    async def test_is_not_waited_for_at_each_of_many_gaps(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        async def read(*_: object, **_options: object) -> AsyncIterator[StoredEvent]:
            rig.now += 2.0
            await asyncio.sleep(0)
            raise Unavailable("it does not answer")
            yield  # makes it a generator

        await rig.read("bob", "carol", "dave")
        with monkeypatch.context() as patched:
            patched.setattr(rig.log, "read", read)
            await rig.repair_receipts(1)
        passed_over = _passed_over()
        assert await rig.repair_receipts(2) == []
        assert (rig.lanes.upto(RECEIPTS_LANE), _passed_over()) == (2, passed_over + 1)
        rig.now += 2.0 * gap_repair.REST_FACTOR
        assert await rig.repair_receipts(3) == ["dave"]

    async def test_is_asked_again_at_once_if_it_refused_at_once(self, rig: Rig) -> None:
        await rig.read("bob", "carol")
        rig.log.away.add(RECEIPTS)
        await rig.repair_receipts(1)
        rig.log.away.clear()
        assert await rig.repair_receipts(2) == ["carol"]
