"""Whose word an instance waits for."""

import asyncio

import msgspec
import pytest

from fanout.subjects import WORKERS
from fanout.workers import WORKER_SILENT_AFTER_S, RoutingConfirmed, WorkerNotice
from services.adapters.embedded.bus import EmbeddedBus
from services.notification import routing_barrier
from services.notification.routing_barrier import RoutingBarrier
from tests.support.faulty import FaultyPresence
from tests.support.observing import until


class Harness:
    """RoutingBarrier, and workers that speak when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.bus = EmbeddedBus()
        self.presence = FaultyPresence()
        self.routing_barrier = RoutingBarrier("notif-1", self.presence, self.bus, clock=lambda: self.now)

    async def hear(self, worker: str, *, ready: bool = True) -> None:
        await self.bus.publish(WORKERS, msgspec.json.encode(WorkerNotice(worker, ready, [])))
        await asyncio.sleep(0)

    async def is_admitted(self, *confirmed_by: str) -> bool:
        """Whether a user is who is confirmed by these workers."""
        waiting = asyncio.create_task(self.routing_barrier.announce_until_confirmed("alice"))
        await asyncio.sleep(0.01)
        for worker in confirmed_by:
            self.routing_barrier.confirm(RoutingConfirmed(worker, ["alice"]))
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


async def test_nobody_is_waited_for_where_nobody_reads() -> None:
    harness = await listening("one")
    await harness.hear("one", ready=False)
    assert await harness.is_admitted()


async def test_after_all_announcements_a_user_is_not_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing_barrier, "ANNOUNCE_AGAIN_AFTER_S", (0.01, 0.01))
    harness = await listening("one")
    assert not await harness.routing_barrier.announce_until_confirmed("alice")
    assert harness.presence.calls["announce"] == 2


async def test_who_was_admitted_is_announced_with_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """All users of an instance may be late at once, and their hints come to every worker."""
    monkeypatch.setattr(routing_barrier, "ANNOUNCE_LATE_AFTER_S", (0.0, 0.1))
    harness = await listening("one")
    late = asyncio.create_task(harness.routing_barrier.announce_until_confirmed_late("alice"))
    await asyncio.sleep(0.35)
    assert 2 <= harness.presence.calls["announce"] <= 5
    harness.routing_barrier.confirm(RoutingConfirmed("one", ["alice"]))
    async with asyncio.timeout(1):
        await late


async def test_who_was_admitted_is_waited_for_while_the_presence_store_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing_barrier, "ANNOUNCE_LATE_AFTER_S", (0.01,))
    harness = await listening("one", "two")
    harness.presence.down = True
    late = asyncio.create_task(harness.routing_barrier.announce_until_confirmed_late("alice"))
    for worker in ("one", "two"):
        await asyncio.sleep(0.03)
        assert not late.done()
        harness.routing_barrier.confirm(RoutingConfirmed(worker, ["alice"]))
    async with asyncio.timeout(1):
        await late


@pytest.mark.parametrize("says_so", [True, False])
async def test_a_worker_that_goes_is_waited_for_no_more_at_once(
    monkeypatch: pytest.MonkeyPatch, *, says_so: bool
) -> None:
    monkeypatch.setattr(routing_barrier, "ANNOUNCE_LATE_AFTER_S", (60.0,))
    harness = await listening("one", "two")
    late = asyncio.create_task(harness.routing_barrier.announce_until_confirmed_late("alice"))
    await until(lambda: harness.presence.calls["announce"] == 1, "announced")
    harness.routing_barrier.confirm(RoutingConfirmed("one", ["alice"]))
    if says_so:
        await harness.hear("two", ready=False)
    else:
        for _ in range(2):
            harness.now += WORKER_SILENT_AFTER_S / 2 + 0.1
            await harness.hear("one")
    async with asyncio.timeout(1):
        await late
