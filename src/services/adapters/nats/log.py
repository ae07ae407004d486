"""The log on NATS JetStream."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Final

import structlog
from nats.js.api import Header

from fanout import partition_of
from fanout.errors import ForeignStore, TooLarge, Unavailable
from fanout.events import longest_event
from fanout.ports.deployment import Deployment
from fanout.ports.log import Appended, Numbering, PartitionEvents, Reset, StoredEvent
from fanout.streams import KEEP_S, ROUTED_STREAMS, STREAMS, stream_of
from fanout.subjects import channel_of, dead
from services.adapters.nats import api
from services.adapters.nats.connection import NatsConnection
from services.adapters.nats.fencing import generation_of
from services.adapters.nats.names import Names
from services.adapters.nats.partition import NatsPartitionReader, claim_partition
from services.adapters.nats.room import Room
from services.adapters.nats.stream import NatsStream
from services.adapters.nats.streams import StreamSettings, ensured, existing_ids, partitions_of
from services.adapters.nats.tail import NatsTail, OrderedView
from services.adapters.nats.work_queue import NatsConsumer
from services.runtime.tasks import Tasks, all_ended, periodic

_log = structlog.get_logger(__name__)

_ORDERED_BATCH: Final = 500
_READ_STALLED_S: Final = 5.0
_LOOK_EVERY_S: Final = 1.0
_REASON: Final = "Fanout-Reason"
_MAX_REASON: Final = 1_000
_KEPT_OF_TOO_LARGE: Final = 1_024


class NatsLog:
    """`fanout.ports.log.Log` on JetStream. The caller that opened the connection closes it, after the log."""

    def __init__(
        self, nc: NatsConnection, settings: StreamSettings, streams: dict[str, NatsStream], *, heartbeat: float
    ) -> None:
        self._nc = nc
        self._settings = settings
        self._streams = streams
        self._heartbeat = heartbeat
        self._room = Room()
        self._failure: BaseException | None = None
        self._tasks = Tasks(self._fail)

    @classmethod
    async def open(
        cls,
        nc: NatsConnection,
        deployment: Deployment,
        *,
        names: Names = Names(),  # noqa: B008 - it is immutable
        partitions: int = 1,
        replicas: int = 1,
        keep_s: float = KEEP_S,
        heartbeat: float = 2.0,
        adopt: bool = False,
    ) -> "NatsLog":
        """Open the streams, and create those that are missing. A stream that exists keeps its config.

        Args:
            nc: the connection.
            deployment: owns the streams, and keeps what must not be lost with them.
            names: of the streams and subjects on the server.
            partitions: of each partitioned stream; those that exist keep theirs, and a new one gets as many.
            replicas: of each stream: 1 on one server, 3 on a cluster.
            keep_s: seconds that events are kept; dead letters are kept for 30 days.
            heartbeat: seconds between the server's heartbeats to each reader; a reader that misses two begins again.
            adopt: take over streams that hold events and carry no deployment's id.

        Raises:
            ForeignStore: a stream belongs to another deployment.
            FanoutError: a stream that should have partitions exists without, or two have different numbers of them.
            Unavailable: JetStream or the membership store cannot be reached.
        """
        owner = await _deployment_id(nc, deployment, names, adopt=adopt)
        wanted = StreamSettings(
            partitions=partitions, replicas=replicas, keep_s=keep_s, deployment=owner, names=names, adopt=adopt
        )
        settings = await _ensured_streams(nc, wanted, deployment)
        streams = {stream: NatsStream(nc, stream, settings, deployment) for stream in STREAMS}
        log = cls(nc, settings, streams, heartbeat=heartbeat)
        await all_ended(stream.look() for stream in streams.values())
        for stream in streams.values():  # each by itself, so that one that gives no answer delays no other
            what = f"comparing the stream {stream.name}"
            log._tasks.start(periodic(_LOOK_EVERY_S, stream.look, what), what)
        return log

    async def close(self) -> None:
        """Stop comparing the streams."""
        await self._tasks.cancel()

    @property
    def partitions(self) -> int:
        """See the port."""
        return self._settings.partitions

    async def append(self, subject: str, payload: bytes, *, msg_id: str) -> Appended:
        """See the port."""
        longest = longest_event(self._nc.max_payload)
        if len(payload) > longest:
            raise TooLarge(f"the event has {len(payload)} bytes; the log takes {longest}")
        stream = self._stream(stream_of(subject))
        await stream.verified()
        try:
            answer = await self._publish(subject, payload, {Header.MSG_ID.value: msg_id})
        except Unavailable:
            stream.invalidate()  # so that a deleted stream is created again before the next event
            raise
        if answer.duplicate:
            return Appended(stream.record.position(answer.seq), duplicate=True)
        return Appended(stream.published(answer.seq, msg_id), duplicate=False)

    async def get(self, stream: str, seq: int) -> StoredEvent | None:
        """See the port."""
        found = self._stream(stream)
        await found.verified()
        if not found.record.has(seq):
            return None
        message = await api.stored_message(self._nc, found.name, found.record.sequence(seq))
        if message is None:
            return None
        subject = self._settings.names.published(message.subject)
        return StoredEvent(seq, subject, message.payload, stored_ns=message.stored_ns)

    async def last_seq(self, stream: str) -> int:
        """See the port."""
        return await self._stream(stream).end()

    async def seq_at(self, stream: str, at_s: float) -> int:
        """See the port."""
        found = self._stream(stream)
        await found.verified()
        following = await api.first_after(self._nc, found.name, int(at_s * 1e9))
        return found.record.position(max(following - 1, 0))

    def numbering(self, stream: str) -> Numbering:
        """See the port."""
        record = self._streams[stream].record
        return Numbering(record.identity(self._settings.deployment, stream), record.begins)

    async def recall(self, stream: str, seq: int, stored_ns: int) -> None:
        """See the port."""
        await self._stream(stream).recall(seq, stored_ns)

    def on_reset(self, listener: Callable[[Reset], None]) -> Callable[[], None]:
        """See the port."""
        ends = [stream.on_reset(listener) for stream in self._streams.values()]

        def forget() -> None:
            for end in ends:
                end()

        return forget

    async def missed_reset(self, stream: str, since: float) -> Reset | None:
        """See the port."""
        found = self._stream(stream)
        await found.verified()
        survived_ns = found.record.survived_since(int(since * 1e6))
        return None if survived_ns is None else Reset(stream, survived_ns)

    async def acknowledged(self, stream: str, durable: str) -> int:
        """See the port."""
        found = self._stream(stream)
        upto, record = await found.end(), found.record
        try:
            info = await api.consumer_info(self._nc, found.name, durable)
        except api.NotFound:
            seq, generation, pending = 0, record.generation, False
        else:
            seq, generation = info["ack_floor"]["stream_seq"], generation_of(info)
            pending = info["num_pending"] or info["num_ack_pending"] or generation < record.generation
        floor = record.floor(seq, generation)
        if pending:
            return floor
        # The consumer learns of an event later than the stream counts it, so its figures may lag: ask the store.
        following = await api.next_seq(self._nc, found.name, ">", after=seq)
        if record is not found.record or (following is not None and following <= record.sequence(upto)):
            return floor
        return max(floor, upto)

    async def consume(self, stream: str, durable: str, *, batch: int = 200) -> NatsConsumer:
        """See the port."""
        consumer = NatsConsumer(self._streams[stream], durable, batch=batch, heartbeat=self._heartbeat)
        await consumer.start()
        return consumer

    async def tail(self, stream: str, *, after: int) -> NatsTail:
        """See the port."""
        return NatsTail(await self._view(stream, after, None))

    async def read(self, stream: str, *, after: int, upto: int, part: int | None = None) -> AsyncGenerator[StoredEvent]:
        """See the port.

        Raises:
            Unavailable: the server delivered nothing for some seconds. The events yielded before are valid.
        """
        subject = self._streams[stream].subject_of(part) if part is not None and STREAMS[stream].partitioned else None
        async with aclosing(self._pages(stream, after, upto, subject)) as pages:
            async for page in pages:
                for event in page:
                    if event.seq > upto:
                        return
                    if part is None or self._part_of(event) == part:
                        yield event

    async def pages(self, stream: str, *, after: int, upto: int) -> AsyncGenerator[PartitionEvents]:
        """See the port.

        Raises:
            Unavailable: as for `read`.
        """
        async with aclosing(self._pages(stream, after, upto, None)) as pages:
            async for page in pages:
                yield page

    async def claim(self, stream: str, partition: int, owner: str) -> NatsPartitionReader:
        """See the port.

        Raises:
            ValueError: there is no such partition.
            PartitionLost: see the port.
        """
        if stream not in ROUTED_STREAMS or not 0 <= partition < self.partitions:
            raise ValueError(f"{stream} has no partition {partition}: it has {self.partitions} or is not partitioned")
        return await claim_partition(
            self._streams[stream], partition, owner, batch=_ORDERED_BATCH, heartbeat=self._heartbeat
        )

    async def dead_letter(self, stream: str, event: StoredEvent, reason: str) -> None:
        """See the port."""
        headers = {
            Header.MSG_ID.value: f"{stream}:{event.seq}",
            _REASON: _header_text(reason),
            "Fanout-Subject": event.subject,
            "Fanout-Seq": str(event.seq),
        }
        subject = dead(stream, channel_of(event.subject))
        try:
            await self._publish(subject, event.payload, headers)
        except TooLarge:
            # The limit was higher when the event was stored. Its reader must be able to go on.
            said = f"{headers[_REASON]} (the first {_KEPT_OF_TOO_LARGE} of its {len(event.payload)} bytes are kept)"
            await self._publish(subject, event.payload[:_KEPT_OF_TOO_LARGE], headers | {_REASON: said})

    async def ping(self) -> None:
        """See the port. Also checks that the streams exist, have not gone back, and have room as far as is known.

        A stream that may be missed is left to `ping_stream`.
        """
        await all_ended(self.ping_stream(stream) for stream, spec in STREAMS.items() if not spec.may_be_missed)
        if self._room.refused:
            self._room.check(await api.call(self._nc, "INFO"))

    async def ping_stream(self, stream: str) -> None:
        """Return when the log answers about a stream, which exists and has not gone back.

        Raises:
            FanoutError, Unavailable: as `NatsStream.verified`.
        """
        await self._stream(stream).look()

    def _stream(self, stream: str) -> NatsStream:
        self._check_sound()
        return self._streams[stream]

    def _check_sound(self) -> None:
        if self._failure is not None:
            raise Unavailable(f"the log cannot be compared any more: {self._failure}") from self._failure

    def _fail(self, failure: BaseException) -> None:
        self._failure = failure
        for stream in self._streams.values():
            stream.fail(failure)

    async def _publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> Appended:
        sent = self._settings.names.subject(subject)
        reply = await self._nc.call(sent, payload, headers=headers)
        with self._room.storing():
            answer = api.checked(reply.data)
        return Appended(answer["seq"], bool(answer.get("duplicate", False)))

    def _part_of(self, event: StoredEvent) -> int:
        return partition_of(channel_of(event.subject), self.partitions)

    async def _pages(self, stream: str, after: int, upto: int, subject: str | None) -> AsyncGenerator[PartitionEvents]:
        await self._stream(stream).look()  # the positions come from another process, which may know a newer record
        view = await self._view(stream, after, subject)
        try:
            while view.pending and view.after < upto:
                yield await _next_of(view)
        finally:
            await view.close()

    async def _view(self, stream: str, after: int, subject: str | None) -> OrderedView:
        view = OrderedView(
            self._streams[stream], after=after, subject=subject, batch=_ORDERED_BATCH, heartbeat=self._heartbeat
        )
        await view.start()
        return view


async def _next_of(view: OrderedView) -> PartitionEvents:
    try:
        async with asyncio.timeout(_READ_STALLED_S):
            return await view.fetch()
    except TimeoutError as error:
        raise Unavailable("the log stopped delivering in the middle of a read") from error


async def _deployment_id(nc: NatsConnection, deployment: Deployment, names: Names, *, adopt: bool) -> str:
    """The deployment's id. Streams with an id cannot belong to a membership store that has none."""
    # The streams first: another process that starts at this moment stores the id before it creates streams.
    carried = await existing_ids(nc, names)
    known = await deployment.existing_id()
    if known is None and adopt and len(set(carried.values())) == 1:
        return await deployment.make_id(next(iter(carried.values())))
    if known is None and carried:
        stream, other = next(iter(carried.items()))
        raise ForeignStore(
            f"the stream {stream} is of deployment {other}, and the membership store is of none yet: "
            "use the membership store of that deployment, or FANOUT_PREFIX for another one; where it is the same "
            "deployment with a new store, `fanout migrate --adopt` takes the id over"
        )
    return known or await deployment.make_id()


async def _ensured_streams(nc: NatsConnection, wanted: StreamSettings, deployment: Deployment) -> StreamSettings:
    """Create or update all streams. Returns the settings for streams that replace one of these later."""
    settings = wanted
    for stream, spec in STREAMS.items():
        known = await deployment.log_record(settings.names.stream(stream)) is not None
        config = (await ensured(nc, settings, stream, known=known))["config"]
        if spec.partitioned:
            settings = replace(settings, partitions=_partitions(config, settings.partitions))
    # A stream that replaces one of these belongs to this deployment, even if it carries no id.
    return replace(settings, adopt=True)


def _partitions(config: dict[str, object], configured: int) -> int:
    partitions = partitions_of(config)
    if partitions != configured:
        _log.warning("nats.partitions_kept", stream_has=partitions, configured=configured)
    return partitions


def _header_text(text: str) -> str:
    """`text` as one line of printable characters, of bounded length."""
    return "".join(char if char.isprintable() else " " for char in text[:_MAX_REASON])
