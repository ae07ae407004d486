"""Whose word an instance waits for."""

import asyncio

import msgspec

from fanout.subjects import WORKERS
from fanout.workers import RoutingConfirmed, WorkerNotice
from services.adapters.embedded.bus import EmbeddedBus
from services.adapters.embedded.presence import EmbeddedPresence
from services.notification.routing_barrier import SILENT_AFTER_S, RoutingBarrier


class Harness:
    """RoutingBarrier, and workers that speak when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.bus = EmbeddedBus()
        self.routing_barrier = RoutingBarrier("notif-1", EmbeddedPresence(), self.bus, clock=lambda: self.now)

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
    harness.now += SILENT_AFTER_S + 0.1
    await harness.hear("one")
    assert await harness.is_admitted("one")


async def test_a_silence_of_all_is_no_sign_that_nobody_reads() -> None:
    harness = await listening("one")
    harness.now += SILENT_AFTER_S + 0.1
    assert not await harness.is_admitted()
    assert await harness.is_admitted("one")


async def test_nobody_is_waited_for_where_nobody_reads() -> None:
    harness = await listening("one")
    await harness.hear("one", ready=False)
    assert await harness.is_admitted()
