"""The one reader of a partition of a stream."""

from collections import deque

import structlog

from fanout import Deliveries, machine
from fanout.errors import PartitionLost, Unavailable
from fanout.ports.log import PartitionEvents
from services.adapters.nats import api, fencing
from services.adapters.nats.continuous_pull import ContinuousPull, Interrupted
from services.adapters.nats.delivery import batch_of
from services.adapters.nats.fencing import Claimant
from services.adapters.nats.recovery import Acknowledger, until_available
from services.adapters.nats.stream import NatsStream

_log = structlog.get_logger(__name__)


class NatsPartitionReader:
    """`fanout.ports.log.PartitionReader`; made by `claim_partition`.

    After a lost connection or a missing delivery it claims a new epoch, which begins after the last acknowledged event,
    and skips the events that it returned before. So `epoch` may rise while it reads.
    """

    def __init__(
        self, stream: NatsStream, claimant: Claimant, epoch: int, position: int, *, batch: int, heartbeat: float
    ) -> None:
        self.partition = claimant.partition
        self.epoch = epoch
        self.position = position
        self._stream = stream
        self._claimant = claimant
        self._pull = ContinuousPull(stream, batch=batch, heartbeat=heartbeat, ordered=True)
        self._acks = Acknowledger(stream.nc)
        self._last = position
        self._acked = position
        self._acked_token = ""
        self._outstanding: deque[Deliveries] = deque()
        self._quiet = 0
        """No event lies between the last one that was acknowledged and this position."""

    async def start(self, generation: int) -> None:
        """Pull from the epoch's consumer, which was created by the stream's record of this generation.

        Raises:
            Unavailable: not connected.
        """
        await self._pull.attach(fencing.consumer_name(self.partition, self.epoch), generation)

    async def fetch(self) -> PartitionEvents:
        """See the port. Read `epoch` again after each call."""
        while True:
            await self._acks.flush()
            try:
                events = self._admit(await self._pull.fetch())
            except Interrupted as interruption:
                _log.info("nats.partition_resumes", partition=self.partition, after=str(interruption))
                self._stream.invalidate()
                await until_available(self._restart)
                continue
            if events:
                return events

    async def ack(self, seq: int) -> None:
        """See the port. Without a connection, the acknowledgement is sent when there is one again."""
        self._acked = max(self._acked, seq)
        self._acknowledge()
        await self._acks.flush()

    async def caught_up(self) -> int | None:
        """See the port."""
        stream, record = self._stream, self._stream.record
        upto = await stream.end()
        try:
            name = fencing.consumer_name(self.partition, self.epoch)
            info = await api.consumer_info(stream.nc, stream.name, name)
        except api.NotFound:
            await self._newest_epoch()
            return None
        if info["num_pending"] or info["num_ack_pending"]:
            return None
        # The consumer learns of an event later than the stream counts it, so its figures may lag: ask the store.
        after = record.sequence(max(self._acked, self._quiet))
        following = await api.next_seq(stream.nc, stream.name, stream.subject_of(self.partition), after=after)
        if following is not None and following <= record.sequence(upto):
            return None
        if record is not stream.record:
            return None  # the log went back meanwhile
        self._quiet = max(self._quiet, upto)
        return upto

    async def close(self) -> None:
        """See the port. Returns when the server has all acknowledgements, or cannot be reached."""
        await self._pull.close()
        await self._acks.flush()
        if not self._acked_token:
            return
        try:
            # The server answers an acknowledgement that has a reply subject, after all those before it.
            await self._stream.nc.call(self._acked_token)
        except Unavailable as error:
            _log.debug("nats.closed_without_answer", partition=self.partition, error=str(error))

    def _admit(self, deliveries: Deliveries) -> PartitionEvents:
        """Return those of the deliveries that `fetch` did not return before. They are in order, and none is missing."""
        self._outstanding.append(deliveries)
        known = deliveries.count_upto(self._last)
        self._last = max(self._last, deliveries.last_seq)
        self._stream.observe(deliveries.last_seq, deliveries.last_time)
        self._acknowledge()
        return batch_of(deliveries.after(known) if known else deliveries, self._stream.names)

    def _acknowledge(self) -> None:
        """Acknowledge the last delivery up to the sequence `_acked`; this acknowledges all deliveries before it."""
        acknowledged = []
        while self._outstanding and (done := self._outstanding[0].count_upto(self._acked)):
            self._acked_token = self._outstanding[0].reply(done - 1)
            acknowledged = [self._acked_token]
            if done < len(self._outstanding[0]):
                break
            self._outstanding.popleft()
        self._acks.add(acknowledged)

    async def _restart(self) -> None:
        """Claim the next epoch, unless another worker has claimed it."""
        await self._stream.verified()
        generation = self._stream.record.generation
        epoch = fencing.following(self._stream, [await self._newest_epoch()])
        await fencing.take(self._stream, self._claimant, epoch, self._acked)
        self.epoch = epoch
        self._outstanding.clear()
        self._acks.forget()
        self._acked_token = ""
        await self.start(generation)

    async def _newest_epoch(self) -> int:
        """This reader's newest epoch. It is above `epoch` after a claim of this reader whose answer was lost."""
        existing = await fencing.epochs(self._stream, self.partition)
        newest = existing[-1] if existing else 0
        if newest > self.epoch and not await fencing.owned_by(self._stream, self._claimant, newest):
            raise PartitionLost(f"partition {self.partition} is at epoch {newest}, this reader was {self.epoch}")
        return max(newest, self.epoch)


async def claim_partition(
    stream: NatsStream, partition: int, owner: str, *, batch: int, heartbeat: float
) -> NatsPartitionReader:
    """Become the reader of a partition; see `fanout.ports.log.Log.claim`."""
    await stream.verified()
    generation = stream.record.generation
    existing = await fencing.epochs(stream, partition)
    position = await fencing.position(stream, partition, existing)
    claimant = Claimant(partition, owner, machine.random_token(8))
    epoch = fencing.following(stream, existing)
    await fencing.take(stream, claimant, epoch, position)
    reader = NatsPartitionReader(stream, claimant, epoch, position, batch=batch, heartbeat=heartbeat)
    await reader.start(generation)
    return reader
