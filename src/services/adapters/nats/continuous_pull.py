"""The continuous pull: requests for messages that always stand at the server, and an intake that takes what comes.

It waits for no round trip, and an idle one does not stall, as `fetch` of nats-py does. It is a mechanism only:
when its consumer may be gone, or something was lost, it says so by `Interrupted`, and its owner mends the consumer
and aims it anew.
"""

import asyncio
from typing import Final

import orjson
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from fanout import Deliveries, DeliveryBuffer
from fanout.errors import Unavailable
from services.adapters.nats.api import NANOSECONDS
from services.adapters.nats.connection import translated
from services.adapters.nats.stream import NatsStream

_REQUESTS: Final = 3
_EXPIRES_S: Final = 30.0
_MISSED_HEARTBEATS: Final = 2
_HEARTBEAT: Final = "100"
_SPENT: Final = frozenset({"404", "408"})
_FILLED: Final = frozenset({("409", "Batch Completed"), ("409", "Message Size Exceeds MaxBytes")})
"""How a request ends that has brought as many events, or as many bytes, as it asked for."""

REQUEST_BYTES: Final = 4 * 1024 * 1024
"""What one request brings at most, however many events that is: more than one event may have."""

_log = structlog.get_logger(__name__)


class Interrupted(Exception):  # noqa: N818 - it reports a state, and is always handled
    """Nothing more comes until the owner has seen to the consumer and called `aim`."""


class ContinuousPull:
    """A stream's events by way of one of its consumers.

    Args:
        stream: the stream.
        batch: events in one request, and at most in one `fetch`; three requests stand at a time, and no more than
            three batches are requested or buffered beside the one that is being fetched. Where events are large, no
            more than four times `REQUEST_BYTES` are.
        heartbeat: seconds between the server's signs of life; after two that are missed the pull is interrupted.
        ordered: this is the consumer's only reader and wants everything in order: it is interrupted when a delivery
            is missing, and what is buffered then is dropped.
    """

    def __init__(self, stream: NatsStream, *, batch: int, heartbeat: float, ordered: bool = False) -> None:
        self._nc = nc = stream.nc
        self._stream = stream
        self._batch = batch
        self._heartbeat = heartbeat
        self._ordered = ordered
        self._consumer = ""
        self._generation = 0
        self._inbox = nc.new_inbox()
        self._subscription: Subscription | None = None
        self._intake = DeliveryBuffer(batch, ordered=ordered)
        self._received = 0
        self._request_bytes = max(REQUEST_BYTES, 2 * nc.max_payload)
        self._news = asyncio.Event()
        self._interruption: str | None = "it was not started"
        self._closed = False
        self._serial = 0
        self._stale = 0
        self._owed = 0
        self._heard = 0.0
        self._forget_reconnects = nc.on_reconnect(lambda: self.interrupt("the connection was lost"))
        self._forget_stream = stream.on_interruption(self.interrupt)
        self._request = orjson.dumps(
            {
                "batch": batch,
                "max_bytes": self._request_bytes,
                "expires": int(max(_EXPIRES_S, 4 * heartbeat) * NANOSECONDS),
                "idle_heartbeat": int(heartbeat * NANOSECONDS),
            }
        )

    async def aim(self, consumer: str, generation: int) -> None:
        """Pull from this consumer from now on; requests made before are forgotten.

        Where the generation is another than before, so is what was not fetched: it has another position now.

        Args:
            consumer: its name.
            generation: of the stream's record by which it was found or created; where the record has changed since, the
                pull is interrupted at once.

        Raises:
            Unavailable: not connected.
        """
        if self._subscription is None:
            with translated("no subscription"):
                self._subscription = await self._nc.subscribe(f"{self._inbox}.*", cb=self._receive)
            self._nc.take(self._subscription, self._intake, self._arrived)
        if self._ordered or generation != self._generation:
            self._intake.clear()
        self._consumer, self._generation = consumer, generation
        self._intake.attach(consumer, self._stream.lifts)
        self._stale = self._serial
        self._owed = 0
        self._heard = asyncio.get_running_loop().time()
        self._interruption = None
        if generation != self._stream.record.generation:
            self.interrupt("the log went back")

    def interrupt(self, reason: str) -> None:
        """Stop until `aim` is called. The first reason counts."""
        if self._interruption is None:
            _log.debug("nats.pull_interrupted", stream=self._stream.name, consumer=self._consumer, reason=reason)
            self._interruption = reason
            if self._ordered:
                self._intake.pause()
                self._intake.clear()
        self._news.set()

    async def fetch(self) -> Deliveries:
        """Wait for at least one event, and return what is there, up to a batch.

        Raises:
            Interrupted: the owner must see to the consumer.
            Unavailable: the pull was closed.
        """
        entered = asyncio.get_running_loop().time()
        while True:
            self._news.clear()
            if self._closed:
                raise Unavailable("this reader of the log is closed")
            await self._top_up()
            if (deliveries := self._intake.take()) is not None:  # nothing may wait now: a cancelled fetch loses nothing
                return deliveries
            if self._interruption is not None:
                raise Interrupted(self._interruption)
            await self._wait(max(entered, self._heard) + _MISSED_HEARTBEATS * self._heartbeat)

    def unfetched(self) -> list[str]:
        """Where each delivery is answered that has come and was not fetched."""
        return self._intake.replies()

    async def close(self) -> None:
        """Pull no more; what had come stays in `unfetched`."""
        self._closed = True
        self._forget_reconnects()
        self._forget_stream()
        if self._subscription is not None:
            await self._nc.retire(self._subscription)
        self._news.set()

    async def _wait(self, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                await self._news.wait()
        except TimeoutError:
            self.interrupt("heartbeats are missing")

    async def _top_up(self) -> None:
        """Request as much as there is room for once the next batch is taken out."""
        while self._interruption is None and self._has_room():
            self._serial += 1
            self._owed += self._batch
            subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream.name}.{self._consumer}"
            try:
                with translated("no pull"):
                    await self._nc.publish(subject, self._request, reply=f"{self._inbox}.{self._serial}")
            except Unavailable as error:
                self.interrupt(str(error))

    def _has_room(self) -> bool:
        if self._intake.bytes > self._request_bytes:
            return False
        left_over = max(0, len(self._intake) - self._batch)
        return self._owed + left_over <= (_REQUESTS - 1) * self._batch

    def _arrived(self) -> None:
        self._heard = asyncio.get_running_loop().time()
        received = self._intake.received
        self._owed = max(0, self._owed - (received - self._received))
        self._received = received
        if (doubt := self._intake.error) is not None:
            self.interrupt(doubt)
        self._news.set()

    async def _receive(self, status: Msg) -> None:
        self._heard = asyncio.get_running_loop().time()
        if int(status.subject.rpartition(".")[2]) > self._stale:
            self._heed(status.headers or {})
        self._news.set()

    def _heed(self, status: dict[str, str]) -> None:
        """Read a status message of the server about one of the requests that count."""
        code = status.get("Status", "")
        if code == _HEARTBEAT:
            self._compare(status)
        elif code in _SPENT or (code, status.get("Description")) in _FILLED:
            self._owed = max(0, self._owed - int(status.get("Nats-Pending-Messages", self._batch)))
        else:
            self.interrupt(f"{code} {status.get('Description', '')}")

    def _compare(self, heartbeat: dict[str, str]) -> None:
        delivered = heartbeat.get("Nats-Last-Consumer")
        # It may be an old one, of before the last deliveries: those overtake what nats-py hands on.
        if self._ordered and delivered is not None and int(delivered) > self._intake.order:
            self.interrupt(f"the server delivered {delivered}, {self._intake.order} came")
