"""A durable consumer that workers share."""

from collections.abc import Sequence
from typing import Final

import structlog

from fanout.errors import Unavailable
from fanout.ports.log import Stored
from services.adapters.nats import api
from services.adapters.nats.connection import Connection
from services.adapters.nats.recovery import Acknowledger, until_available
from services.adapters.nats.standing_pull import Interrupted, StandingPull

_ACK_WAIT_S: Final = 30
_MAX_ACK_PENDING: Final = 10_000

_log = structlog.get_logger(__name__)


class NatsConsumer:
    """`fanout.ports.log.Consumer`; made by `NatsLog.consume`.

    A consumer that someone deleted is created again at the stream's beginning: what the other workers acknowledged
    is not known here, and an event too many is better than one too few.
    """

    def __init__(self, nc: Connection, stream: str, durable: str, *, batch: int, heartbeat: float) -> None:
        self._nc = nc
        self._stream = stream
        self._durable = durable
        self._pull = StandingPull(nc, stream, batch=batch, heartbeat=heartbeat)
        self._acks = Acknowledger(nc)
        self._held: dict[int, str] = {}

    async def start(self) -> None:
        """Find or create the consumer, and pull from it.

        Raises:
            Unavailable: JetStream cannot be reached.
        """
        try:
            await api.consumer_info(self._nc, self._stream, self._durable)
        except api.NotFound:
            await api.create_consumer(self._nc, self._stream, self._config())
        await self._acks.flush()
        await self._pull.aim(self._durable)

    async def fetch(self) -> list[Stored]:
        """See the port."""
        while True:
            try:
                events = [delivery.stored() for delivery in await self._pull.fetch()]
            except Interrupted as interruption:
                _log.info("nats.consumer_resumes", durable=self._durable, after=str(interruption))
                await until_available(self.start)
            else:
                self._held.update((event.seq, event.token) for event in events)
                return events

    async def ack(self, events: Sequence[Stored]) -> None:
        """See the port. Without a connection it is sent once there is one."""
        await self._answer(events, b"")

    async def retry(self, events: Sequence[Stored], delay: float) -> None:
        """See the port."""
        await self._answer(events, b'-NAK {"delay":%d}' % int(delay * api.NANOSECONDS))

    async def close(self) -> None:
        """See the port. Without a connection, others get the events only after the 30 s of the ack wait."""
        unfetched = await self._pull.close()
        self._acks.add([*self._held.values(), *(delivery.token for delivery in unfetched)], b"-NAK")
        self._held.clear()
        await self._acks.flush()
        try:
            await self._nc.ping()
        except Unavailable as error:
            _log.info("nats.closed_without_answer", durable=self._durable, error=str(error))

    async def _answer(self, events: Sequence[Stored], answer: bytes) -> None:
        for event in events:
            self._held.pop(event.seq, None)
        self._acks.add((event.token for event in events), answer)
        await self._acks.flush()

    def _config(self) -> dict[str, object]:
        return {
            "name": self._durable,
            "durable_name": self._durable,
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "ack_wait": _ACK_WAIT_S * api.NANOSECONDS,
            "max_ack_pending": _MAX_ACK_PENDING,
        }
