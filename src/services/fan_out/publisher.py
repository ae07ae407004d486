"""The publisher: takes ready batches out of the engine and puts them on the bus."""

import asyncio
from typing import Final

import structlog

from fanout import Engine, Unavailable
from fanout.events import MAX_BATCH, MIN_BATCH
from fanout.ports.bus import Bus
from fanout.subjects import instance_events
from services.fan_out.metrics import BATCHES_TOO_LARGE
from services.runtime.tasks import retry_forever

log = structlog.get_logger(__name__)


MOST_WAITING_BYTES: Final = 8 << 20
"""Bytes that may wait for the bus before ephemeral events are dropped."""


class Publisher:
    """One writer for all that a worker routes, so that batches of all its partitions share a flush.

    A batch that the bus did not take is published again until it does: a receiver drops what it has seen. Meanwhile the
    readers wait in `settle`, which bounds what the engine holds.

    Batches are as long as the bus takes them, also after it was replaced by one with another limit.
    """

    def __init__(self, engine: Engine, bus: Bus) -> None:
        self._engine = engine
        self._bus = bus
        self._wake = asyncio.Event()
        self._waiters: list[asyncio.Future[None]] = []
        self._refused = False
        self._follow_limit()

    @property
    def congested(self) -> bool:
        """Whether ephemeral events had better be dropped than kept: the bus refused the last batches, or much waits.

        Batches that are on their way are no sign of that: under load some always are.
        """
        return self._refused or self._engine.pending_bytes() > MOST_WAITING_BYTES

    def poke(self) -> None:
        """Something was routed: publish it when it is due."""
        self._wake.set()

    async def settle(self) -> None:
        """Return when all that was routed before this call is on the bus."""
        done = asyncio.get_running_loop().create_future()
        self._waiters.append(done)
        self._wake.set()
        await done

    async def run(self) -> None:
        """Publish for ever; cancel it after the last `settle`."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._publish_when_due()

    async def _publish_when_due(self) -> None:
        while (delay := self._engine.next_due()) is not None:
            if delay > 0:
                await asyncio.sleep(delay)
            self._follow_limit()
            waiters, self._waiters = self._waiters, []
            await self._publish(self._engine.drain(force=bool(waiters)))
            _resolve(waiters)
        waiters, self._waiters = self._waiters, []
        _resolve(waiters)

    async def _publish(self, batches: list[tuple[str, bytes]]) -> None:
        if not batches:
            return
        messages = [(instance_events(instance), payload) for instance, payload in batches]
        await retry_forever(lambda: self._offer(messages), "publishing batches to instances")

    async def _offer(self, messages: list[tuple[str, bytes]]) -> None:
        try:
            await self._bus.publish_many(self._fitting(messages))
        except Unavailable:
            self._refused = True
            raise
        self._refused = False

    def _follow_limit(self) -> None:
        wanted = min(max(self._bus.max_payload, MIN_BATCH), MAX_BATCH)
        if self._engine.max_batch != wanted:
            self._engine.max_batch = wanted

    def _fitting(self, messages: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        # A batch that was made before the limit fell is lost like one on a broken connection: its receiver sees the
        # hole at the next event or mark, and reads the log.
        limit = self._bus.max_payload
        fitting = [message for message in messages if len(message[1]) <= limit]
        if dropped := len(messages) - len(fitting):
            BATCHES_TOO_LARGE.inc(dropped)
            log.warning("batches are too long for the bus now; instances read the log", dropped=dropped, limit=limit)
        return fitting


def _resolve(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
