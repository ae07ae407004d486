"""The continuous pull: the server always has requests for messages, and a buffer receives what it delivers.

No delivery waits for a round trip, and an idle pull does not stall, as `fetch` of nats-py does. When its consumer may
be gone, or a delivery was lost, the pull raises `Interrupted`. Its owner then repairs the consumer and attaches the
pull to it again.
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
"""How the server ends a request that has got as many events, or as many bytes, as it asked for."""

REQUEST_BYTES: Final = 4 * 1024 * 1024
"""Bytes that one request gets at most, whatever the number of events; more than the longest event has."""

_log = structlog.get_logger(__name__)


class Interrupted(Exception):  # noqa: N818 - it reports a state, and is always handled
    """Nothing is delivered until the owner has repaired the consumer and called `attach`."""


class ContinuousPull:
    """Pulls a stream's events from one of its consumers.

    Args:
        stream: the stream.
        batch: events in one request, and at most in one `fetch`. The server has three requests at a time. Beside the
            batch that is being fetched, three batches at most are requested or buffered, and no more than four times
            `REQUEST_BYTES`.
        heartbeat: seconds between the server's heartbeats; the pull is interrupted when two are missing.
        ordered: the pull is the consumer's only reader and needs all events in order: it is interrupted when a delivery
            is missing, and then drops what is buffered.
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
        self._buffer = DeliveryBuffer(batch, ordered=ordered)
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

    async def attach(self, consumer: str, generation: int) -> None:
        """Pull from this consumer from now on; earlier requests count no more.

        When the generation has changed, events that were not fetched are dropped: they have other positions now.

        Args:
            consumer: its name.
            generation: of the stream's record by which the consumer was found or created. When the record has changed
                since, the pull is interrupted at once.

        Raises:
            Unavailable: not connected.
        """
        if self._subscription is None:
            with translated("no subscription"):
                self._subscription = await self._nc.subscribe(f"{self._inbox}.*", cb=self._receive)
            self._nc.take(self._subscription, self._buffer, self._arrived)
        if self._ordered or generation != self._generation:
            self._buffer.clear()
        self._consumer, self._generation = consumer, generation
        self._buffer.attach(consumer, self._stream.lifts)
        self._stale = self._serial
        self._owed = 0
        self._heard = asyncio.get_running_loop().time()
        self._interruption = None
        if generation != self._stream.record.generation:
            self.interrupt("the log went back")

    def interrupt(self, reason: str) -> None:
        """Stop until `attach` is called. If there are several reasons, the first one is reported."""
        if self._interruption is None:
            _log.debug("nats.pull_interrupted", stream=self._stream.name, consumer=self._consumer, reason=reason)
            self._interruption = reason
            if self._ordered:
                self._buffer.pause()
                self._buffer.clear()
        self._news.set()

    async def fetch(self) -> Deliveries:
        """Wait for at least one event, and return what is there, up to a batch.

        Raises:
            Interrupted: the owner must repair the consumer.
            Unavailable: the pull was closed.
        """
        entered = asyncio.get_running_loop().time()
        while True:
            self._news.clear()
            if self._closed:
                raise Unavailable("this reader of the log is closed")
            await self._top_up()
            if (deliveries := self._buffer.take()) is not None:  # no await after this: a cancelled fetch loses nothing
                return deliveries
            if self._interruption is not None:
                raise Interrupted(self._interruption)
            await self._wait(max(entered, self._heard) + _MISSED_HEARTBEATS * self._heartbeat)

    def unfetched(self) -> list[str]:
        """The reply subject of each delivery that was received and not fetched."""
        return self._buffer.replies()

    async def close(self) -> None:
        """Stop pulling; deliveries that were received stay in `unfetched`."""
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
        """Request as many events as there will be room for after the next batch is taken out."""
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
        if self._buffer.bytes > self._request_bytes:
            return False
        left_over = max(0, len(self._buffer) - self._batch)
        return self._owed + left_over <= (_REQUESTS - 1) * self._batch

    def _arrived(self) -> None:
        self._heard = asyncio.get_running_loop().time()
        received = self._buffer.received
        self._owed = max(0, self._owed - (received - self._received))
        self._received = received
        if (error := self._buffer.error) is not None:
            self.interrupt(error)
        self._news.set()

    async def _receive(self, status: Msg) -> None:
        self._heard = asyncio.get_running_loop().time()
        if int(status.subject.rpartition(".")[2]) > self._stale:
            self._heed(status.headers or {})
        self._news.set()

    def _heed(self, status: dict[str, str]) -> None:
        """Handle a status message of the server about a request made since the last `attach`."""
        code = status.get("Status", "")
        if code == _HEARTBEAT:
            self._compare(status)
        elif code in _SPENT or (code, status.get("Description")) in _FILLED:
            self._owed = max(0, self._owed - int(status.get("Nats-Pending-Messages", self._batch)))
        else:
            self.interrupt(f"{code} {status.get('Description', '')}")

    def _compare(self, heartbeat: dict[str, str]) -> None:
        delivered = heartbeat.get("Nats-Last-Consumer")
        # The heartbeat may be older than the last deliveries, which bypass nats-py and so overtake it.
        if self._ordered and delivered is not None and int(delivered) > self._buffer.order:
            self.interrupt(f"the server delivered {delivered}, {self._buffer.order} came")
