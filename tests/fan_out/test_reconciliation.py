"""Hints may be lost and instances may die: the table comes to the truth by itself."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest
from structlog.testing import capture_logs

from fanout import Engine, Unavailable, partition_of
from fanout.events import MAX_BATCH
from fanout.ports.log import Log, StoredEvent, Tail
from fanout.subjects import PRESENCE_HINTS
from fanout.workers import PresenceChange, RoutingConfirmed, decode_control
from services.fan_out import liveness
from services.fan_out.presence_applier import PresenceApplier
from services.fan_out.routing_confirmations import RoutingConfirmations
from services.fan_out.worker import MARK_EVERY_S
from services.runtime.tasks import Tasks
from tests.support.harness import Harness, running_harness
from tests.support.observing import until

SHORT_S = 0.3
"""Without a sign of life for so long an instance is dead, where a test does not want to wait for a whole lease."""


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    async with running_harness(tmp_path) as built:
        yield built


async def test_lost_arrivals_and_departures_are_repaired_by_digests(harness: Harness) -> None:
    await harness.create("general", "alice", "bob")
    worker = await harness.add_worker("worker-1")
    instance = await harness.add_instance("notif-1")
    harness.bus.prefix, harness.bus.share = PRESENCE_HINTS, 1.0
    alice = await harness.connect(instance, "alice")
    await until(lambda: worker.users_on("notif-1") == ["alice"], "the arrival is repaired")
    await harness.say("general", "hello")
    await until(lambda: alice.texts() == ["hello"])
    alice.hang_up()
    await until(lambda: worker.users_on("notif-1") == [], "the departure is repaired")


async def test_a_worker_that_starts_late_knows_everybody_before_it_reads(harness: Harness) -> None:
    await harness.create("general", "alice", "bob")
    instance = await harness.add_instance("notif-1")
    alice = await harness.connect(instance, "alice")
    await harness.say("general", "while nobody routes")
    await harness.add_worker("worker-1")
    await until(lambda: alice.texts() == ["while nobody routes"])


async def test_two_workers_share_the_partitions_and_hand_over(harness: Harness) -> None:
    for number in range(8):
        await harness.create(f"channel-{number}", "alice")
    first, second = [await harness.add_worker(name) for name in ("worker-1", "worker-2")]
    await until(lambda: len(first.partitions.claimed()) == len(second.partitions.claimed()) == 2, "an even share")
    instance = await harness.add_instance("notif-1")
    alice = await harness.connect(instance, "alice")
    for number in range(40):
        await harness.say(f"channel-{number % 8}", str(number))
    await first.stop()
    await until(lambda: len(second.partitions.claimed()) == 4, "the rest is taken over")
    for number in range(40, 80):
        await harness.say(f"channel-{number % 8}", str(number))
    await until(lambda: len(alice.texts()) >= 80)
    assert sorted(map(int, alice.texts())) == list(range(80))


class LateMembers:
    """A view of a log whose membership events come when `opened` is set."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.opened = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def tail(self, stream: str, *, after: int) -> "LateTail":
        return LateTail(await self._log.tail(stream, after=after), self.opened)


class LateTail:
    def __init__(self, tail: Tail, opened: asyncio.Event) -> None:
        self._tail = tail
        self._opened = opened

    async def fetch(self) -> list[StoredEvent]:
        events = await self._tail.fetch()
        await self._opened.wait()
        return events

    async def close(self) -> None:
        await self._tail.close()


async def test_who_takes_a_partition_over_knows_the_members_that_were_told(harness: Harness) -> None:
    first = await harness.add_worker("worker-1")
    late = LateMembers(harness.log)
    second = await harness.add_worker("worker-2", log=cast("Log", late))
    await until(lambda: len(first.partitions.claimed()) == len(second.partitions.claimed()) == 2, "an even share")
    channels = [f"channel-{number}" for number in range(20)]
    channel = next(name for name in channels if first.partitions.is_claimed(partition_of(name, harness.log.partitions)))
    await harness.create(channel, "owner")
    instance = await harness.add_instance("notif-1")
    alice = await harness.connect(instance, "alice")
    await harness.join(channel, "alice")
    await until(lambda: bool(alice.of_type("member.joined")))
    await first.stop()
    await until(lambda: len(second.partitions.claimed()) == 4, "the rest is taken over")
    await asyncio.sleep(1.5 * MARK_EVERY_S)  # what comes before the first mark shows as a gap
    await harness.say(channel, "welcome")
    await asyncio.sleep(0.2)
    late.opened.set()
    await until(lambda: alice.texts() == ["welcome"])


async def test_a_joining_that_was_applied_before_the_claim_comes_before_the_messages_after_it(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> NoReturn:
        raise Unavailable("no leader")

    claim = harness.log.claim
    monkeypatch.setattr(harness.log, "claim", fail)
    worker = await harness.add_worker("worker-1")
    await harness.create("general", "bob")
    instance = await harness.add_instance("notif-1")
    alice = await harness.connect(instance, "alice")
    await harness.join("general", "alice")
    await until(lambda: worker._engine.channels("alice") == {"general"}, "applied")
    for number in range(3):
        await harness.say("general", str(number))
    monkeypatch.setattr(harness.log, "claim", claim)
    await until(lambda: alice.texts() == ["0", "1", "2"], "what was said after she joined")
    assert bool(alice.of_type("member.joined"))


async def test_a_partition_released_at_once_after_its_claim_is_free(harness: Harness) -> None:
    worker = await harness.add_worker("worker-1")
    await harness.settle_partitions()
    await worker.partitions.release(0)
    await worker.partitions.claim(0)
    await worker.partitions.release(0)
    assert worker.partitions.claimed() == [1, 2, 3]
    await harness.settle_partitions()


async def test_memberships_that_change_while_a_user_connects_are_not_missed(harness: Harness) -> None:
    await harness.add_worker("worker-1")
    instance = await harness.add_instance("notif-1")
    for number in range(20):
        await harness.create(f"channel-{number}", "owner")
        await harness.join(f"channel-{number}", f"user-{number}")
        client = await harness.connect(instance, f"user-{number}")
        await harness.say(f"channel-{number}", "hello")
        await until(lambda who=client: who.texts() == ["hello"])  # type: ignore[misc]


async def test_all_users_of_an_instance_are_confirmed_in_messages_that_the_bus_takes(harness: Harness) -> None:
    users = [f"{'u' * 60}-{number}" for number in range(20_000)]
    confirmed: list[str] = []

    def hear(_subject: str, payload: bytes) -> None:
        message = decode_control(payload)
        confirmed.extend(message.users if isinstance(message, RoutingConfirmed) else ())

    engine = Engine()
    for user in users:
        engine.user_online(user, "elsewhere", ["general"])
    async with Tasks(harness.failures.append) as tasks:
        applier = PresenceApplier(
            engine, harness.memberships, RoutingConfirmations("worker-1", harness.bus, tasks, lambda: 0), tasks
        )
        await harness.bus.subscribe("instance.control.notif-1", hear)
        for user in users:
            applier.change(PresenceChange(user, online=True, instance_id="notif-1", incarnation="first", number=1))
        await until(lambda: len(confirmed) == len(users) or bool(harness.failures), "all confirmed")
    assert not harness.failures
    assert confirmed == users


async def test_an_instance_without_lease_and_digests_is_evicted(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "INSTANCE_SILENT_AFTER_S", SHORT_S)
    await harness.create("general", "alice")
    worker = await harness.add_worker("worker-1")
    instance = await harness.add_instance("notif-1")
    await harness.connect(instance, "alice")
    await harness.cut_off("notif-1")
    await until(lambda: worker.users_on("notif-1") == [], "evicted")


async def test_an_instance_that_stops_is_evicted_at_once(harness: Harness) -> None:
    await harness.create("general", "alice")
    worker = await harness.add_worker("worker-1")
    instance = await harness.add_instance("notif-1")
    await harness.connect(instance, "alice")
    await until(lambda: worker.users_on("notif-1") == ["alice"], "placed")
    with capture_logs() as logs:
        await instance.drain()
        await until(lambda: any(entry["event"] == "instance is gone" for entry in logs), "evicted")
    assert worker.users_on("notif-1") == []


async def test_a_poisonous_event_is_buried_and_the_rest_goes_on(harness: Harness) -> None:
    await harness.create("general", "alice")
    await harness.add_worker("worker-1")
    instance = await harness.add_instance("notif-1")
    alice = await harness.connect(instance, "alice")
    member = b'"type":"member.joined","event_id":"e","channel_id":"general","user_id":"bob","at":"now","version":1'
    poison = (
        b"not json",
        b"{}",
        b'{"type":"message.new","channel_id":"other"}',
        b'{%b,"extra":"\xff"}' % member,
        b'{%b,"extra":"%b"}' % (member, b"x" * MAX_BATCH),
    )
    for number, payload in enumerate(poison):
        await harness.log.append("messages.send.general", payload, msg_id=f"poison-{number}")
        await harness.log.append("channels.member.joined.general", payload, msg_id=f"poison-meta-{number}")
    await harness.say("general", "after")
    await until(lambda: alice.texts() == ["after"])
    dead = [event.payload async for event in harness.log.read("DEAD", after=0, upto=100)]
    assert sorted(dead).count(b"not json") == 2
    assert len(dead) == 2 * len(poison)


async def test_an_instance_that_comes_back_misses_nothing_of_the_time_between(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its users are placed one by one again, and the first of them must not hide what the others were to get."""
    await harness.create("alices", "alice")
    await harness.create("bobs", "bob")
    worker = await harness.add_worker("worker-1")
    await harness.settle_partitions()
    instance = await harness.add_instance("notif-1")
    alice, bob = [await harness.connect(instance, user) for user in ("alice", "bob")]
    for user in ("alice", "bob"):
        worker.presence_applier.forget(user)
    load, bobs_turn = harness.memberships.packed_channels_of, asyncio.Event()

    async def slow_for_bob(user_id: str) -> bytes:
        if user_id == "bob":
            await bobs_turn.wait()
        return await load(user_id)

    monkeypatch.setattr(harness.memberships, "packed_channels_of", slow_for_bob)
    monkeypatch.setattr(liveness, "INSTANCE_SILENT_AFTER_S", SHORT_S)
    await harness.cut_off("notif-1")
    await until(lambda: worker.users_on("notif-1") == [], "evicted")
    monkeypatch.undo()
    monkeypatch.setattr(harness.memberships, "packed_channels_of", slow_for_bob)
    harness.restore()
    await until(lambda: worker.users_on("notif-1") == ["alice"], "one is back")
    await asyncio.sleep(1.2)  # a mark goes out, as long as nothing holds it back
    await harness.say("alices", "to alice")
    await harness.say("bobs", "to bob")
    await asyncio.sleep(1.2)
    bobs_turn.set()
    await until(lambda: (alice.texts(), bob.texts()) == (["to alice"], ["to bob"]), "what was posted between")
