"""The publisher: takes batches that are due out of the engine, and publishes them on the bus."""

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
"""While more bytes wait for the bus, ephemeral events are dropped."""


class Publisher:
    """The one publisher of a worker, so that the batches of all its partitions go out together.

    It publishes a batch again until the bus takes it; an instance drops events that it has seen. Meanwhile the readers
    of partitions wait in `settle`, which bounds the bytes in the engine.

    The bus limits the length of a batch. The limit may change when the bus reconnects.

    Args:
        engine: has the batches.
        bus: takes them.
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
        """Whether ephemeral events are to be dropped: the bus refused the last batches, or too many bytes wait for it.

        Batches that are being published do not count: under load there always are some.
        """
        return self._refused or self._engine.pending_bytes() > MOST_WAITING_BYTES

    def poke(self) -> None:
        """Note that something was routed; it is published when it is due."""
        self._wake.set()

    async def settle(self) -> None:
        """Return when everything that was routed before this call is on the bus."""
        done = asyncio.get_running_loop().create_future()
        self._waiters.append(done)
        self._wake.set()
        await done

    async def run(self) -> None:
        """Publish what is due; cancel it after the last `settle`."""
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
        # A batch that was made before the limit fell is lost, like one on a broken connection. Its receiver finds the
        # gap at the next event or mark, and reads the log.
        limit = self._bus.max_payload
        fitting = [message for message in messages if len(message[1]) <= limit]
        if dropped := len(messages) - len(fitting):
            BATCHES_TOO_LARGE.inc(dropped)
            log.warning(
                "batches are longer than the bus takes now; instances read the log instead",
                dropped=dropped,
                limit=limit,
            )
        return fitting


def _resolve(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
