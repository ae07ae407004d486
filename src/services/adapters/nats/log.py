"""The log on NATS JetStream."""

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Final

from nats.js.api import Header

from fanout import partition_of
from fanout.errors import Unavailable
from fanout.ports.log import Appended, Stored
from fanout.subjects import MESSAGES, META, channel_of, dead
from services.adapters.nats import api
from services.adapters.nats.connection import Connection
from services.adapters.nats.partition import NatsPartitionReader, claim_partition
from services.adapters.nats.streams import KEEP_S, StreamSettings, ensure_streams, partition_filter, published_subject
from services.adapters.nats.tail import NatsTail, OrderedView
from services.adapters.nats.work_queue import NatsConsumer

_ORDERED_BATCH: Final = 500
_READ_STALLED_S: Final = 5.0
_MAX_REASON: Final = 1_000


class NatsLog:
    """`fanout.ports.log.Log` on JetStream. The connection stays its opener's to close."""

    def __init__(self, nc: Connection, partitions: int, *, heartbeat: float) -> None:
        self._nc = nc
        self._partitions = partitions
        self._heartbeat = heartbeat

    @classmethod
    async def open(
        cls,
        nc: Connection,
        *,
        partitions: int = 1,
        replicas: int = 1,
        keep_s: float = KEEP_S,
        heartbeat: float = 2.0,
    ) -> "NatsLog":
        """Create what is missing of the streams. One that exists keeps what it was created with.

        Args:
            nc: the connection.
            partitions: of MESSAGES.
            replicas: of each stream: 1 on one server, 3 on a cluster.
            keep_s: seconds that events are kept; dead letters are kept for 30 days.
            heartbeat: seconds between signs of life of the server to each reader; a reader that misses two resumes.

        Raises:
            FanoutError: MESSAGES exists, and was not created by Fanout.
            Unavailable: JetStream cannot be reached.
        """
        settings = StreamSettings(partitions=partitions, replicas=replicas, keep_s=keep_s)
        return cls(nc, await ensure_streams(nc, settings), heartbeat=heartbeat)

    @property
    def partitions(self) -> int:
        """See the port."""
        return self._partitions

    async def append(self, subject: str, payload: bytes, *, msg_id: str) -> Appended:
        """See the port."""
        return await self._publish(subject, payload, {Header.MSG_ID.value: msg_id})

    async def get(self, stream: str, seq: int) -> Stored | None:
        """See the port."""
        message = await api.stored_message(self._nc, stream, seq)
        if message is None:
            return None
        payload = base64.b64decode(message.get("data", ""))
        return Stored(message["seq"], published_subject(message["subject"]), payload)

    async def last_seq(self, stream: str) -> int:
        """See the port."""
        return await api.last_seq(self._nc, stream)

    async def consume(self, stream: str, durable: str, *, batch: int = 200) -> NatsConsumer:
        """See the port."""
        consumer = NatsConsumer(self._nc, stream, durable, batch=batch, heartbeat=self._heartbeat)
        await consumer.start()
        return consumer

    async def tail(self, stream: str, *, after: int) -> NatsTail:
        """See the port."""
        return NatsTail(await self._view(stream, after, None))

    async def read(self, stream: str, *, after: int, upto: int, part: int | None = None) -> AsyncIterator[Stored]:
        """See the port.

        Raises:
            Unavailable: nothing more came for a while; what was yielded holds.
        """
        subject = partition_filter(part) if part is not None and stream == MESSAGES else None
        view = await self._view(stream, after, subject)
        try:
            while view.pending and view.after < upto:
                for event in await _next_of(view):
                    if event.seq > upto:
                        return
                    if part is None or stream != META or self._part(event) == part:
                        yield event
        finally:
            await view.close()

    async def claim(self, partition: int, owner: str) -> NatsPartitionReader:
        """See the port."""
        return await claim_partition(self._nc, partition, owner, batch=_ORDERED_BATCH, heartbeat=self._heartbeat)

    async def bury(self, stream: str, event: Stored, reason: str) -> None:
        """See the port."""
        headers = {
            Header.MSG_ID.value: f"{stream}:{event.seq}",
            "Fanout-Reason": _header_text(reason),
            "Fanout-Subject": event.subject,
            "Fanout-Seq": str(event.seq),
        }
        await self._publish(dead(stream, channel_of(event.subject)), event.payload, headers)

    async def ping(self) -> None:
        """See the port."""
        await api.call(self._nc, "INFO")

    async def _publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> Appended:
        answer = api.checked((await self._nc.call(subject, payload, headers=headers)).data)
        return Appended(answer["seq"], bool(answer.get("duplicate", False)))

    async def _view(self, stream: str, after: int, subject: str | None) -> OrderedView:
        view = OrderedView(
            self._nc, stream, after=after, subject=subject, batch=_ORDERED_BATCH, heartbeat=self._heartbeat
        )
        await view.start()
        return view

    def _part(self, event: Stored) -> int:
        return partition_of(channel_of(event.subject), self._partitions)


async def _next_of(view: OrderedView) -> list[Stored]:
    try:
        async with asyncio.timeout(_READ_STALLED_S):
            return await view.fetch()
    except TimeoutError as error:
        raise Unavailable("the log stopped in the middle of a read") from error


def _header_text(text: str) -> str:
    """`text` as one line of printable characters, of bounded length."""
    return "".join(char if char.isprintable() else " " for char in text[:_MAX_REASON])
