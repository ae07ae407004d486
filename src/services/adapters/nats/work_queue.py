"""A durable consumer that workers share."""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from fanout.errors import Unavailable
from fanout.ports.log import StoredEvent
from services.adapters.nats import api
from services.adapters.nats.continuous_pull import ContinuousPull, Interrupted
from services.adapters.nats.delivery import events_of
from services.adapters.nats.fencing import GENERATION, generation_of
from services.adapters.nats.recovery import Acknowledger, until_available
from services.adapters.nats.stream import NatsStream
from services.runtime.tasks import Tasks

_ACK_WAIT_S: Final = 6
_CLAIM_EVERY_S: Final = 2.0
_MAX_ACK_PENDING: Final = 10_000

_log = structlog.get_logger(__name__)


class NatsConsumer:
    """`fanout.ports.log.Consumer`; made by `NatsLog.consume`.

    Events that a lost connection lost, or that a worker held when it died, are delivered again after the ack wait. The
    ack wait is short, so a worker renews its claim on the events that it holds, however long its work takes.

    A deleted consumer is created again at the stream's beginning: this worker does not know what the others
    acknowledged, and a repeated event is better than a lost one. After the log went back, one of the workers creates
    the consumer again at the first renumbered event, because those events have new positions. The new consumer has the
    old name, and an answer to the old one would count for another event. So no answer is sent until the stream was
    compared.
    """

    def __init__(self, stream: NatsStream, durable: str, *, batch: int, heartbeat: float) -> None:
        self._nc = stream.nc
        self._stream = stream
        self._durable = durable
        self._pull = ContinuousPull(stream, batch=batch, heartbeat=heartbeat)
        self._acks = Acknowledger(stream.nc)
        self._held: dict[int, str] = {}
        self._generation = 0
        self._tasks = Tasks(self._fail)
        self._failure: BaseException | None = None

    async def start(self) -> None:
        """Find or create the consumer, and pull from it.

        Raises:
            Unavailable: JetStream cannot be reached.
        """
        await self._attach()
        self._tasks.start(self._claim(), f"claiming {self._durable}")

    async def _attach(self) -> None:
        await self._stream.verified()
        record = self._stream.record
        if record.generation != self._generation:
            self._acks.forget()
            self._held.clear()
        self._generation = record.generation
        try:
            info = await api.consumer_info(self._nc, self._stream.name, self._durable)
        except api.NotFound:
            self._acks.forget()
            await self._create(0)
        else:
            if generation_of(info) < record.generation:
                await api.delete_consumer(self._nc, self._stream.name, self._durable)
                await self._create(record.floor(info["ack_floor"]["stream_seq"], generation_of(info)))
        await self._flush()
        await self._pull.attach(self._durable, record.generation)

    async def _create(self, after: int) -> None:
        try:
            await api.create_consumer(self._nc, self._stream.name, self._config(after))
        except api.RequestRefused as error:
            if error.err_code != api.CONSUMER_EXISTS:
                raise
            # Another worker created it first, and saw other acknowledgements.
            _log.debug("nats.consumer_exists", durable=self._durable)

    async def fetch(self) -> list[StoredEvent]:
        """See the port."""
        while True:
            if self._failure is not None:
                raise self._failure
            await self._flush()
            try:
                deliveries = await self._pull.fetch()
            except Interrupted as interruption:
                _log.info("nats.consumer_resumes", durable=self._durable, after=str(interruption))
                self._stream.invalidate()
                await until_available(self._attach)
            else:
                self._stream.observe(deliveries.last_seq, deliveries.last_time)
                events = events_of(deliveries, self._stream.names)
                self._held.update((event.seq, event.token) for event in events)
                return events

    async def ack(self, events: Sequence[StoredEvent]) -> None:
        """See the port. Without a connection it is sent after the reconnect, if the stream has not gone back."""
        await self._answer(events, b"")

    async def retry(self, events: Sequence[StoredEvent], delay: float) -> None:
        """See the port."""
        await self._answer(events, b'-NAK {"delay":%d}' % int(delay * api.NANOSECONDS))

    async def close(self) -> None:
        """See the port. Without a connection, others get the events only after the 6 s of the ack wait."""
        await self._tasks.cancel()
        await self._pull.close()
        self._acks.add(self._unanswered(), b"-NAK")
        self._held.clear()
        await self._flush()
        try:
            await self._nc.ping()
        except Unavailable as error:
            _log.info("nats.closed_without_answer", durable=self._durable, error=str(error))

    async def _answer(self, events: Sequence[StoredEvent], answer: bytes) -> None:
        held = [event.token for event in events if self._held.pop(event.seq, None) is not None]
        self._acks.add(held, answer)
        await self._flush()

    async def _flush(self) -> None:
        if self._is_known():
            await self._acks.flush()

    def _is_known(self) -> bool:
        """Whether the consumer is still the one that delivered the events that are held."""
        return self._stream.settled and self._stream.record.generation == self._generation

    def _fail(self, failure: BaseException) -> None:
        # Without renewed claims every event would be delivered twice, so the next fetch raises the failure.
        self._failure = failure
        self._pull.interrupt("the claims on events are not renewed any more")

    async def _claim(self) -> None:
        while True:
            await asyncio.sleep(_CLAIM_EVERY_S)
            await self._flush()
            if self._is_known() and (unanswered := self._unanswered()):
                await self._acks.send(unanswered, b"+WPI")

    def _unanswered(self) -> list[str]:
        return [*self._held.values(), *self._pull.unfetched()]

    def _config(self, after: int) -> dict[str, object]:
        return {
            "name": self._durable,
            "durable_name": self._durable,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._stream.record.sequence(after) + 1,
            "metadata": {GENERATION: str(self._stream.record.generation)},
            "ack_policy": "explicit",
            "ack_wait": _ACK_WAIT_S * api.NANOSECONDS,
            "max_ack_pending": _MAX_ACK_PENDING,
        }
