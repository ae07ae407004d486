"""One reader's ordered view of a stream. After any fault it replaces its consumer by a new one."""

import asyncio
from typing import Final

import structlog

from fanout import machine
from fanout.errors import Unavailable
from fanout.ports.log import PartitionEvents, StoredEvent
from services.adapters.nats import api
from services.adapters.nats.continuous_pull import ContinuousPull, Interrupted
from services.adapters.nats.delivery import batch_of
from services.adapters.nats.recovery import until_available
from services.adapters.nats.stream import NatsStream

_FORGOTTEN_AFTER_S: Final = 60
_FORGET_WITHIN_S = 0.5

_log = structlog.get_logger(__name__)


class OrderedView:
    """Every event after a point, in order, none twice.

    After a gap, missing heartbeats, a reconnect or the loss of its consumer it begins again after the last event that
    it returned.

    Args:
        stream: which.
        after: the position before the first one to read.
        subject: a filter of stored subjects; None for all.
        batch: at most so many events at a time.
        heartbeat: seconds between the server's heartbeats.
    """

    def __init__(self, stream: NatsStream, *, after: int, subject: str | None, batch: int, heartbeat: float) -> None:
        self._nc = stream.nc
        self._stream = stream
        self._subject = subject
        self._consumer = ""
        self._pull = ContinuousPull(stream, batch=batch, heartbeat=heartbeat, ordered=True)
        self.after = after
        """The position of the last event that `fetch` returned."""
        self.pending = 0
        """How many events followed it in the stream when the server sent it."""

    async def start(self) -> None:
        """Begin, or begin again, after the position `after`.

        Raises:
            Unavailable: JetStream cannot be reached.
        """
        await self._stream.verified()
        generation = self._stream.record.generation
        await self._forget()
        name = f"tail-{machine.random_token(8)}"
        created = await api.create_consumer(self._nc, self._stream.name, self._config(name))
        self._consumer = name
        self.pending = created["num_pending"]
        await self._pull.attach(name, generation)

    async def fetch(self) -> PartitionEvents:
        """Wait for at least one event, and return what is there."""
        while True:
            try:
                deliveries = await self._pull.fetch()
            except Interrupted as interruption:
                _log.debug("nats.tail_resumes", stream=self._stream.name, reason=str(interruption))
                self._stream.invalidate()
                await until_available(self.start)
            else:
                self.after, self.pending = deliveries.last_seq, deliveries.pending
                self._stream.observe(deliveries.last_seq, deliveries.last_time)
                return batch_of(deliveries, self._stream.names)

    async def close(self) -> None:
        """Stop reading. Where the server does not answer soon, it forgets the consumer after a minute."""
        await self._pull.close()
        try:
            async with asyncio.timeout(_FORGET_WITHIN_S):
                await self._forget()
        except (TimeoutError, Unavailable) as error:
            _log.debug("nats.tail_left_behind", stream=self._stream.name, error=str(error))

    async def _forget(self) -> None:
        if self._consumer:
            await api.delete_consumer(self._nc, self._stream.name, self._consumer)
            self._consumer = ""

    def _config(self, name: str) -> dict[str, object]:
        config: dict[str, object] = {
            "name": name,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._stream.record.sequence(self.after) + 1,
            "ack_policy": "none",
            "inactive_threshold": _FORGOTTEN_AFTER_S * api.NANOSECONDS,
            "mem_storage": True,
            "num_replicas": 1,
        }
        return config | ({"filter_subject": self._subject} if self._subject else {})


class NatsTail:
    """`fanout.ports.log.Tail`; made by `NatsLog.tail`."""

    def __init__(self, view: OrderedView) -> None:
        self._view = view

    async def fetch(self) -> list[StoredEvent]:
        """See the port."""
        return list(await self._view.fetch())

    async def close(self) -> None:
        """See the port."""
        await self._view.close()
