"""Whose word an instance waits for."""

import asyncio
import math

import msgspec
import pytest

from fanout.subjects import PRESENCE_HINTS, WORKERS
from fanout.workers import (
    WORKER_SILENT_AFTER_S,
    PresenceChange,
    RoutingConfirmed,
    RoutingPending,
    WorkerNotice,
    decode_presence_change,
)
from services.notification import routing_barrier
from services.notification.routing_barrier import RoutingBarrier
from tests.support.faulty import FaultyBus
from tests.support.observing import until


class Harness:
    """RoutingBarrier, and workers that speak when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.bus = FaultyBus()
        self.routing_barrier = RoutingBarrier("notif-1", "first", self.bus, clock=lambda: self.now)

    def hints(self) -> list[PresenceChange]:
        """The hints that were published."""
        return [decode_presence_change(payload) for subject, payload in self.bus.published if subject == PRESENCE_HINTS]

    def confirm(
        self, worker: str, *, number: int | None = None, incarnation: str = "first", members_upto: int = 0
    ) -> None:
        """A worker has applied alice's hint of this number, or the newest one."""
        number = self.routing_barrier.announced if number is None else number
        self.routing_barrier.confirm(RoutingConfirmed(worker, incarnation, {"alice": number}, members_upto))

    async def hear(self, worker: str, *, ready: bool = True, members_upto: int = 0) -> None:
        await self.bus.publish(WORKERS, msgspec.json.encode(WorkerNotice(worker, ready, {}, members_upto)))
        await asyncio.sleep(0)

    async def is_admitted(self, *confirmed_by: str) -> bool:
        """Whether a user is who is confirmed by these workers."""
        waiting = asyncio.create_task(self.routing_barrier.announce_until_confirmed("alice"))
        await asyncio.sleep(0.01)
        for worker in confirmed_by:
            self.confirm(worker)
        await asyncio.sleep(0.01)
        waiting.cancel()
        return waiting.done()


async def listening(*workers: str) -> Harness:
    harness = Harness()
    listening = asyncio.create_task(harness.routing_barrier.listen())
    await asyncio.sleep(0)
    for worker in workers:
        await harness.hear(worker)
    await listening
    return harness


async def test_every_worker_that_reads_is_waited_for() -> None:
    harness = await listening("one", "two")
    assert not await harness.is_admitted("one")
    assert await harness.is_admitted("one", "two")


async def test_a_worker_that_stopped_or_fell_silent_is_not_waited_for() -> None:
    harness = await listening("one", "two", "three")
    await harness.hear("two", ready=False)
    for _ in range(2):
        harness.now += WORKER_SILENT_AFTER_S / 2 + 0.1
        await harness.hear("one")
    assert await harness.is_admitted("one")


async def test_a_silence_of_all_is_no_sign_that_nobody_reads() -> None:
    harness = await listening("one")
    harness.now += WORKER_SILENT_AFTER_S + 0.1
    assert not await harness.is_admitted()
    assert await harness.is_admitted("one")


async def test_after_a_silence_of_all_each_worker_is_given_time_to_be_heard() -> None:
    harness = await listening("one", "two")
    harness.now += WORKER_SILENT_AFTER_S + 0.1
    await harness.hear("one")
    assert not await harness.is_admitted("one")
    assert await harness.is_admitted("one", "two")
    for _ in range(2):
        harness.now += WORKER_SILENT_AFTER_S / 2 + 0.1
        await harness.hear("one")
    assert await harness.is_admitted("one")


async def test_a_confirmation_of_an_earlier_arrival_does_not_count() -> None:
    harness = await listening("one")
    assert await harness.is_admitted("one")
    await harness.routing_barrier.announce_departure("alice")
    before = harness.routing_barrier.announced
    again = asyncio.create_task(harness.routing_barrier.announce_until_confirmed("alice"))
    await until(lambda: len(harness.hints()) == before + 1, "announced")
    harness.confirm("one", number=before)
    harness.confirm("one", incarnation="zeroth")
    await asyncio.sleep(0.01)
    assert not again.done()
    harness.confirm("one")
    async with asyncio.timeout(1):
        assert await again
    assert [(hint.user_id, hint.online) for hint in harness.hints()] == [
        ("alice", True),
        ("alice", False),
        ("alice", True),
    ]


async def test_a_repeated_hint_is_confirmed_by_each_of_its_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing_barrier, "ANNOUNCE_AGAIN_AFTER_S", (0.01, 60.0))
    harness = await listening("one")
    waiting = asyncio.create_task(harness.routing_barrier.announce_until_confirmed("alice"))
    await until(lambda: len(harness.hints()) == 2, "announced again")
    harness.confirm("one", number=1)
    async with asyncio.timeout(1):
        assert await waiting


async def test_nobody_is_waited_for_where_nobody_reads() -> None:
    harness = await listening("one")
    await harness.hear("one", ready=False)
    assert await harness.is_admitted()


async def test_after_all_announcements_a_user_is_not_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing_barrier, "ANNOUNCE_AGAIN_AFTER_S", (0.01, 0.01))
    harness = await listening("one")
    assert not await harness.routing_barrier.announce_until_confirmed("alice")
    assert [hint.number for hint in harness.hints()] == [1, 2]


async def test_who_was_admitted_is_announced_with_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """All users of an instance may be late at once, and their hints come to every worker."""
    monkeypatch.setattr(routing_barrier, "ANNOUNCE_LATE_AFTER_S", (0.0, 0.1, 60.0))
    harness = await listening("one")
    late = asyncio.create_task(harness.routing_barrier.announce_until_confirmed("alice", late=True))
    await asyncio.sleep(0.35)
    assert 2 <= len(harness.hints()) <= 5
    harness.confirm("one")
    async with asyncio.timeout(1):
        await late


async def test_who_was_admitted_is_waited_for_while_the_bus_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing_barrier, "ANNOUNCE_LATE_AFTER_S", (0.01, 60.0))
    harness = await listening("one", "two")
    harness.bus.down = True
    late = asyncio.create_task(harness.routing_barrier.announce_until_confirmed("alice", late=True))
    for worker in ("one", "two"):
        await asyncio.sleep(0.03)
        assert not late.done()
        harness.confirm(worker)
    async with asyncio.timeout(1):
        await late


@pytest.mark.parametrize("says_so", [True, False])
async def test_a_worker_that_goes_is_waited_for_no_more_at_once(
    monkeypatch: pytest.MonkeyPatch, *, says_so: bool
) -> None:
    monkeypatch.setattr(routing_barrier, "ANNOUNCE_LATE_AFTER_S", (60.0,))
    harness = await listening("one", "two")
    late = asyncio.create_task(harness.routing_barrier.announce_until_confirmed("alice", late=True))
    await until(lambda: len(harness.hints()) == 1, "announced")
    harness.confirm("one")
    if says_so:
        await harness.hear("two", ready=False)
    else:
        for _ in range(2):
            harness.now += WORKER_SILENT_AFTER_S / 2 + 0.1
            await harness.hear("one")
    async with asyncio.timeout(1):
        await late


async def test_a_confirmation_counts_when_each_worker_has_applied_the_membership_changes() -> None:
    harness = await listening("one", "two")
    waiting = asyncio.create_task(harness.routing_barrier.announce_until_confirmed("alice", 7))
    await asyncio.sleep(0.01)
    harness.confirm("one", members_upto=7)
    harness.confirm("two", members_upto=6)
    await asyncio.sleep(0.01)
    assert not waiting.done()
    await harness.hear("two", members_upto=8)
    async with asyncio.timeout(1):
        assert await waiting
    assert harness.routing_barrier.members_upto() == 7


async def test_what_a_worker_had_applied_before_it_started_again_does_not_count() -> None:
    harness = await listening("one")
    await harness.hear("one", members_upto=8)
    await harness.hear("one", ready=False)
    assert harness.routing_barrier.members_upto() == math.inf, "nobody reads"
    await harness.hear("one", members_upto=5)
    assert harness.routing_barrier.members_upto() == 5


async def test_a_worker_that_is_gone_holds_up_nobody_by_what_it_has_not_applied() -> None:
    harness = await listening("one", "two")
    waiting = asyncio.create_task(harness.routing_barrier.announce_until_confirmed("alice", 7))
    await asyncio.sleep(0.01)
    harness.confirm("one", members_upto=7)
    harness.confirm("two")
    await harness.hear("two", ready=False)
    async with asyncio.timeout(1):
        assert await waiting


async def test_a_user_may_be_waited_for_twice_at_a_time() -> None:
    harness = await listening("one")
    both = [asyncio.create_task(harness.routing_barrier.announce_until_confirmed("alice", upto)) for upto in (0, 7)]
    await asyncio.sleep(0.01)
    harness.confirm("one", members_upto=6)
    await asyncio.sleep(0.01)
    assert [task.done() for task in both] == [True, False]
    harness.confirm("one", members_upto=7)
    async with asyncio.timeout(1):
        assert await asyncio.gather(*both) == [True, True]
    assert harness.routing_barrier._waiting == {}


async def _waits_while(harness: Harness, *loading: str, incarnation: str = "first") -> bool:
    """Whether a user is still waited for when the patience is over, and these workers say that they load the user."""
    waiting = asyncio.create_task(harness.routing_barrier.announce_until_confirmed("alice"))
    for _ in range(8):
        for worker in loading:
            harness.routing_barrier.pend(RoutingPending(worker, incarnation, ["alice"]))
        await asyncio.sleep(0.01)
    still_waits = not waiting.done()
    waiting.cancel()
    return still_waits


async def test_a_worker_that_loads_the_user_is_waited_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing_barrier, "ANNOUNCE_AGAIN_AFTER_S", (0.01,))
    harness = await listening("one", "two")
    assert not await _waits_while(harness)
    assert not await _waits_while(harness, "one"), "the other one says nothing"
    assert not await _waits_while(harness, "one", "two", incarnation="earlier")
    assert await _waits_while(harness, "one", "two")


async def test_a_worker_that_loads_the_user_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing_barrier, "ANNOUNCE_AGAIN_AFTER_S", (0.01,))
    monkeypatch.setattr(routing_barrier, "PENDING_FOR_S", 0.02)
    harness = await listening("one")
    waiting = asyncio.create_task(harness.routing_barrier.announce_until_confirmed("alice"))
    await asyncio.sleep(0)
    harness.routing_barrier.pend(RoutingPending("one", "first", ["alice"]))
    await asyncio.sleep(0.015)
    harness.now += 0.03  # and nothing more is heard
    async with asyncio.timeout(1.0):
        assert not await waiting
    again = asyncio.create_task(harness.routing_barrier.announce_until_confirmed("alice"))
    await asyncio.sleep(0)
    harness.now += routing_barrier.LOADED_WITHIN_S + 1.0
    harness.routing_barrier.pend(RoutingPending("one", "first", ["alice"]))
    async with asyncio.timeout(1.0):
        assert not await again


async def test_the_workers_are_those_that_are_heard() -> None:
    harness = await listening("two", "one")
    assert harness.routing_barrier.workers() == ["one", "two"]
    harness.now += WORKER_SILENT_AFTER_S + 0.1
    assert harness.routing_barrier.workers() == []


async def test_a_client_that_goes_while_the_user_is_loaded_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing_barrier, "ANNOUNCE_AGAIN_AFTER_S", (0.01,))
    monkeypatch.setattr(routing_barrier, "PENDING_FOR_S", 0.02)
    harness, gone = await listening("one"), asyncio.Event()
    waiting = asyncio.create_task(
        harness.routing_barrier.announce_until_confirmed("alice", is_wanted=lambda: not gone.is_set())
    )
    await asyncio.sleep(0)
    harness.routing_barrier.pend(RoutingPending("one", "first", ["alice"]))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    assert len(harness.hints()) > 2, "a confirmation may be lost"
    gone.set()
    async with asyncio.timeout(1.0):
        assert not await waiting
