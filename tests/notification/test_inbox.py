"""The inbox: what batches bring reaches the sockets in order and once, whatever is lost or away meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import cast

import pytest
from msgspec import Raw

from fanout import Engine, Unavailable
from fanout.events import MemberJoined, MemberLeft, Message, MessageEvent, ReceiptRead, encode, timestamp
from fanout.ids import new_event_id, new_message_id
from fanout.lanes import Lane
from fanout.membership_versions import CLOCK_SKEW_US
from fanout.packed_ids import pack
from fanout.ports.authenticator import Identity
from fanout.ports.memberships import Memberships
from fanout.streams import MESSAGES, META, RECEIPTS
from fanout.subjects import instance_events, member_joined, member_left, message, receipt
from fanout.user_sync import ReadSync, encode_user_notice
from services.notification import gap_repair
from services.notification import inbox as inbox_module
from services.notification.inbox import Inbox
from services.notification.metrics import INBOX_OVERFLOWS
from services.notification.registry import Registry
from services.notification.session import Session
from services.notification.user_events import UserEvents
from services.runtime import tasks as tasks_module
from services.runtime.membership_order import MembershipOrder
from services.runtime.skipping import MESSAGES_SKIPPED
from services.runtime.tasks import Tasks
from tests.support.faulty import FaultyBus, FaultyLog, faulty_log
from tests.support.harness import Client
from tests.support.observing import until

INSTANCE = "notif-1"
CHANNEL = "general"
MESSAGES_LANE, META_LANE, RECEIPTS_LANE = (Lane(stream, 0).number for stream in (MESSAGES, META, RECEIPTS))


class World:
    """An inbox with alice, who reads the channel; the test plays the worker, and loses batches."""

    def __init__(self, tasks: Tasks, log: FaultyLog) -> None:
        self.bus, self.log = FaultyBus(), log
        self.registry = Registry()
        order = MembershipOrder(cast("Memberships", self), known_at=0)
        self.inbox = Inbox(INSTANCE, self.bus, self.log, self.registry, order, UserEvents(self.registry))
        self._version = CLOCK_SKEW_US
        self.alice = Client("alice")
        self._tasks = tasks
        self._worker = Engine()
        self._worker.user_online("alice", INSTANCE, [CHANNEL])
        for lane in (MESSAGES_LANE, META_LANE, RECEIPTS_LANE):
            self._worker.open_lane(lane, 1, 0)

    async def membership(self, channel_id: str, user_id: str) -> SimpleNamespace:
        """As the store of memberships has it: no change is newer than the last one."""
        await asyncio.sleep(0)
        assert channel_id == CHANNEL, user_id
        return SimpleNamespace(version=self._version)

    async def start(self) -> None:
        session = Session(self.alice, Identity("alice", 1e12), "phone", INSTANCE, budget=1 << 20)
        self.registry.add(session)
        await self.registry.subscribe(session, pack([CHANNEL]))
        self.registry.write_queue.open(session, b"\x81\x02{}")
        self.alice.frames.clear()
        await self.inbox.listen()
        self.run()

    def run(self) -> "asyncio.Task[None]":
        self.running = self._tasks.start(self.inbox.run(), "inbox")
        return self.running

    async def say(self, *texts: str, lost: bool = False) -> list[bytes]:
        for text in texts:
            body = Message(new_message_id(), CHANNEL, "bob", text, timestamp())
            payload = encode(MessageEvent(new_event_id(), "message.new", CHANNEL, Raw(encode(body))))
            seq = (await self.log.append(message(CHANNEL), payload, msg_id=new_event_id())).seq
            assert not self._worker.route_stored("message.new", MESSAGES_LANE, 0, [(seq, CHANNEL, payload)])
        return await self.send(lost=lost)

    async def read(self, reader: str, *, lost: bool = False) -> None:
        event = ReceiptRead(new_event_id(), CHANNEL, new_message_id(), [reader], timestamp())
        payload, seq = (
            encode(event),
            (await self.log.append(receipt(CHANNEL), encode(event), msg_id=event.event_id)).seq,
        )
        assert not self._worker.route_stored("receipt.read", RECEIPTS_LANE, 0, [(seq, CHANNEL, payload)])
        await self.send(lost=lost)

    async def change(self, user: str, *, joins: bool, lost: bool = False, payload: bytes | None = None) -> None:
        kind, subject = (MemberJoined, member_joined) if joins else (MemberLeft, member_left)
        self._version += 1
        payload = payload or encode(kind(new_event_id(), CHANNEL, user, timestamp(), self._version))
        seq = (await self.log.append(subject(CHANNEL), payload, msg_id=new_event_id())).seq
        assert not self._worker.route_stored("member", META_LANE, 0, [(seq, CHANNEL, payload, user)])
        await self.send(lost=lost)

    async def mark(self) -> None:
        self._worker.mark()
        await self.send()

    async def send(self, *, lost: bool = False) -> list[bytes]:
        batches = [payload for _, payload in self._worker.drain(force=True)]
        if not lost:
            await self.hear(batches)
        return batches

    async def hear(self, batches: list[bytes]) -> None:
        for payload in batches:
            await self.bus.arrive(instance_events(INSTANCE), payload)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_module, "FIRST_DELAY_S", 0.001)
    monkeypatch.setattr(tasks_module, "LONGEST_DELAY_S", 0.002)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    failures: list[BaseException] = []
    async with faulty_log() as log, Tasks(failures.append) as tasks:
        world = World(tasks, log)
        await world.start()
        yield world
    assert not failures


def _numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


async def test_events_arrive_in_order(world: World) -> None:
    for text in _numbers(20):
        await world.say(text)
    await until(lambda: world.alice.texts() == _numbers(20))
    assert world.inbox.delivered_upto() == 20


async def test_a_batch_that_comes_twice_is_delivered_once(world: World) -> None:
    await world.say("0", lost=True)
    await world.say("1")
    await until(lambda: world.alice.texts() == ["0", "1"])
    await world.hear(await world.say("2", "3", lost=True) * 2)
    await world.say("4")
    await until(lambda: world.alice.texts() == _numbers(5))


async def test_what_was_lost_is_read_from_the_log_before_what_follows(world: World) -> None:
    await world.say("0")
    await world.say("1", "2", lost=True)
    await world.say("3")
    await world.say("4", lost=True)
    await world.say("5")
    await until(lambda: world.alice.texts() == _numbers(6))


async def test_a_lost_last_batch_shows_by_the_mark(world: World) -> None:
    await world.say("0", lost=True)
    assert world.inbox.delivered_upto() == 0
    await world.mark()
    await until(lambda: world.alice.texts() == ["0"])
    await until(lambda: world.inbox.delivered_upto() == 1)


@pytest.mark.parametrize("call", range(4))
async def test_a_log_that_is_away_at_any_call_costs_no_event_and_doubles_none(world: World, call: int) -> None:
    await world.say("0", "1", lost=True)
    await world.change("bob", joins=True, lost=True)
    late = await world.say("2", lost=True)
    world.log.fail_after = call
    await world.hear(late)
    await until(lambda: world.alice.texts() == _numbers(3))
    world.log.fail_after = None
    await world.say("3")
    await until(lambda: world.alice.texts() == _numbers(4))


async def test_a_log_that_stays_away_holds_events_back_and_loses_none(world: World) -> None:
    await world.say("0", lost=True)
    late = await world.say("1", lost=True)
    await world.say("2", lost=True)
    late += await world.say("3", lost=True)
    world.log.down = True
    await world.hear(late)
    await asyncio.sleep(0.02)
    assert world.alice.texts() == []
    world.log.down = False
    await until(lambda: world.alice.texts() == _numbers(4))


@pytest.mark.parametrize("fault", ["away", "hung"])
async def test_messages_do_not_wait_for_a_stream_that_may_be_missed(
    world: World, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(gap_repair, "PATIENCE_S", 0.01)
    getattr(world.log, fault).add(RECEIPTS)
    await world.read("bob", lost=True)
    await world.read("carol")
    await world.say("0")
    await until(lambda: world.alice.texts() == ["0"])
    assert [frame["read_by"] for frame in world.alice.of_type("receipt.read")] == [["carol"]]


@pytest.mark.parametrize("turns", range(14))
async def test_one_who_is_cancelled_at_any_moment_and_goes_on_loses_and_doubles_nothing(
    world: World, turns: int
) -> None:
    await world.say("0", lost=True)
    await world.change("carol", joins=True, lost=True)
    await world.say("1")
    for _ in range(turns):
        await asyncio.sleep(0)
    world.running.cancel()
    await asyncio.wait([world.running])
    world.run()
    await world.say("2")
    await world.mark()
    await until(lambda: world.alice.texts() == _numbers(3))


async def test_who_joined_in_a_gap_gets_what_follows_and_who_left_gets_nothing_more(world: World) -> None:
    await world.say("0")
    await world.change("alice", joins=False, lost=True)
    await world.say("not for alice", lost=True)
    await world.change("alice", joins=True, lost=True)
    await world.say("1")
    await until(lambda: len(world.alice.of_type("member.joined")) == 1)
    await until(lambda: bool(world.alice.texts()) and world.alice.texts()[-1] == "1")
    assert len(world.alice.of_type("member.left")) == 1


async def test_membership_changes_of_a_watched_user_are_counted(world: World) -> None:
    with world.inbox.watching("alice") as changes, world.inbox.watching("bob") as others:
        await world.change("alice", joins=False)
        await until(lambda: changes.count == 1)
        await world.change("alice", joins=True)
        await until(lambda: changes.count == 2)
    assert others.count == 0
    await world.change("alice", joins=False)
    await until(lambda: len(world.alice.of_type("member.left")) == 2)
    assert changes.count == 2


async def test_a_membership_event_of_a_newer_version_is_skipped_and_what_follows_is_delivered(world: World) -> None:
    skipped = MESSAGES_SKIPPED.labels("record")._value.get()
    await world.change("alice", joins=True, payload=b'{"type":"member.promoted","channel_id":"general"}', lost=False)
    await world.say("0")
    await until(lambda: world.alice.texts() == ["0"])
    assert MESSAGES_SKIPPED.labels("record")._value.get() == skipped + 1


async def test_more_than_may_wait_is_dropped_counted_and_read_from_the_log(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    overflows = INBOX_OVERFLOWS._value.get()
    monkeypatch.setattr(inbox_module, "BACKLOG_BYTES", 10)
    await world.say("0")
    assert INBOX_OVERFLOWS._value.get() == overflows + 1
    monkeypatch.setattr(inbox_module, "BACKLOG_BYTES", 1 << 20)
    await world.say("1")
    await until(lambda: world.alice.texts() == ["0", "1"])


async def test_an_instance_that_was_empty_begins_at_the_end_of_the_streams(world: World) -> None:
    await world.say("long ago", lost=True)
    world.log.down = True
    with pytest.raises(Unavailable):
        await world.inbox.rebase()
    world.log.down = False
    await world.inbox.rebase()
    assert world.inbox.delivered_upto() == 1
    await world.say("now")
    await until(lambda: world.alice.texts() == ["now"])


async def test_ephemeral_events_are_for_readers_but_the_actor_and_for_users(world: World) -> None:
    world._worker.route(CHANNEL, b'{"type":"typing","n":1}', actor="alice")
    world._worker.route(CHANNEL, b'{"type":"typing","n":2}')
    for user in ("alice", "nobody"):
        notice = ReadSync(user, CHANNEL, "", "msg_01ARZ3NDEKTSV4RRFFQ69G5FAV", "t", 3)
        world._worker.route_user(user, encode_user_notice(notice))
    await world.send()
    await until(lambda: [frame["type"] for frame in world.alice.frames] == ["typing", "sync.read"])
    assert world.alice.frames[0]["n"] == 2


async def test_listening_is_tried_again_while_the_bus_is_away() -> None:
    async with faulty_log() as log, Tasks(lambda error: pytest.fail(str(error))) as tasks:
        world = World(tasks, log)
        world.bus.down = True
        listening = asyncio.create_task(world.inbox.listen())
        await asyncio.sleep(0.01)
        assert not listening.done()
        world.bus.down = False
        await listening
