"""A durable consumer that workers share."""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from fanout.errors import Unavailable
from fanout.ports.log import Stored
from services.adapters.nats import api
from services.adapters.nats.connection import Connection
from services.adapters.nats.delivery import events_of
from services.adapters.nats.recovery import Acknowledger, until_available
from services.adapters.nats.standing_pull import Interrupted, StandingPull
from services.runtime.tasks import Tasks

_ACK_WAIT_S: Final = 6
_CLAIM_EVERY_S: Final = 2.0
_MAX_ACK_PENDING: Final = 10_000

_log = structlog.get_logger(__name__)


class NatsConsumer:
    """`fanout.ports.log.Consumer`; made by `NatsLog.consume`.

    What a lost connection swallowed, and what a worker held that died, comes again after the ack wait. It is short,
    and so a worker goes on claiming what it holds, however long its work on it takes.

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
        self._tasks = Tasks(on_failure=lambda _: None)  # it is logged; without claims events come twice, and none less

    async def start(self) -> None:
        """Find or create the consumer, and pull from it.

        Raises:
            Unavailable: JetStream cannot be reached.
        """
        await self._aim()
        self._tasks.start(self._claim(), f"claiming {self._durable}")

    async def _aim(self) -> None:
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
                events = events_of(await self._pull.fetch())
            except Interrupted as interruption:
                _log.info("nats.consumer_resumes", durable=self._durable, after=str(interruption))
                await until_available(self._aim)
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
        """See the port. Without a connection, others get the events only after the 6 s of the ack wait."""
        await self._tasks.cancel()
        await self._pull.close()
        self._acks.add(self._unanswered(), b"-NAK")
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

    async def _claim(self) -> None:
        while True:
            await asyncio.sleep(_CLAIM_EVERY_S)
            if unanswered := self._unanswered():
                await self._acks.send(unanswered, b"+WPI")

    def _unanswered(self) -> list[str]:
        return [*self._held.values(), *self._pull.unfetched()]

    def _config(self) -> dict[str, object]:
        return {
            "name": self._durable,
            "durable_name": self._durable,
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "ack_wait": _ACK_WAIT_S * api.NANOSECONDS,
            "max_ack_pending": _MAX_ACK_PENDING,
        }
