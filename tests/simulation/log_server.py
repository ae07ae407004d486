"""The log's server, which can lose its newest events, and the log as processes reach it."""

import asyncio
import itertools
import sqlite3
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Any, Final

from fanout.errors import PartitionLost, StorageFull
from fanout.ids import new_ulid
from fanout.ports.log import Appended, Numbering, PartitionEvents, Reset, StoredEvent
from fanout.streams import STREAMS
from services.adapters.embedded.durable import DurableQueue
from services.adapters.embedded.log import EmbeddedLog
from services.adapters.embedded.readers import EmbeddedPartitionReader, batch_of
from tests.simulation.hosts import Draw
from tests.simulation.links import Link, Refuse
from tests.simulation.log_readers import LinkedConsumer, LinkedReader, LinkedTail

NOTICED_WITHIN_S: Final = 1.5
"""Seconds within which a process that is connected notices that the log went back; contract section 4 says 2."""
_LOOK_AGAIN_S: Final = 0.4
_PAGE: Final = 8
_NO_END: Final = 1 << 62


class SimulatedLog(EmbeddedLog):
    """An embedded log that stands for a JetStream server.

    As with the adapter of JetStream, positions rise also when the log goes back, and a process notices before it is
    given anything that was stored after the loss.

    Attributes:
        resets: each loss, the oldest first.
    """

    stored: Callable[[str, int, str, bytes], None]
    """Called with stream, seq, subject and payload of each event that was stored."""

    def begin(self, stored: Callable[[str, int, str, bytes], None]) -> None:
        """Get ready; call this once, after the log was opened."""
        self.stored = stored
        self.resets: list[Reset] = []
        self._watching: list[LinkedLog] = []
        self._claiming = asyncio.Lock()
        self._holders: dict[tuple[str, int], tuple[int, int]] = {}
        self._gaps: dict[str, list[range]] = {}
        self.on_reset(self._tell)

    def watch(self, linked: "LinkedLog") -> None:
        """Let a process notice losses."""
        self._watching.append(linked)

    def crash(self) -> None:
        """Lose the acknowledgements of the last moment, which nats-server writes down later than it takes them.

        Call this while every connection is broken.
        """
        for stream in self._streams:
            self._forget_acks(stream, _NO_END)

    async def lose_newest(self, stream: str, count: int, acks: int = 0) -> int:
        """Go back: lose the newest events of a stream. Call this while every connection is broken.

        Args:
            stream: which.
            count: how many events.
            acks: how many of the events that remain may be delivered again though they were acknowledged.

        Returns:
            how many were lost.
        """

        def work(connection: sqlite3.Connection) -> tuple[int, int, int]:
            end, acked = (_seq_behind(connection, stream, newest) for newest in (count, count + acks))
            lost = connection.execute("DELETE FROM events WHERE stream = ? AND seq > ?", (stream, end)).rowcount
            connection.execute("DELETE FROM recent WHERE stream = ? AND seq > ?", (stream, end))
            return end, acked, lost

        end, acked, lost = await self._store._database.write(work)
        self._gaps.setdefault(stream, []).append(range(end + 1, self._stream(stream).last_seq + 1))
        self._forget_acks(stream, acked)
        await self._go_back(stream)
        return int(lost)

    async def become_another(self, stream: str) -> int:
        """Come back as a new stream, which holds nothing. Call this while every connection is broken.

        Returns:
            how many events were lost.
        """

        def work(connection: sqlite3.Connection) -> int:
            lost = connection.execute("DELETE FROM events WHERE stream = ?", (stream,)).rowcount
            connection.execute("DELETE FROM recent WHERE stream = ?", (stream,))
            return lost

        lost = await self._store._database.write(work)
        given = self._stream(stream).last_seq
        self._gaps.setdefault(stream, []).append(range(1, given + 1))
        self._forget_acks(stream, 0)
        record = await self._deployment.log_record(stream)
        assert record is not None
        now_us = int(self._clock() * 1e6)
        await self._renumber(stream, record.replaced(new_ulid(), 0, now_us=now_us, given=given))
        return int(lost)

    def _forget_acks(self, stream: str, upto: int) -> None:
        """Deliver again what was not written down as acknowledged, and what is above `upto`."""
        for key, queue in self._queues.items():
            if key[0] == stream:
                floor = min(queue.floor, self._saved_floors.get(key, 0), upto)
                self._queues[key] = DurableQueue(
                    self._stream(stream), floor, ack_wait=self._ack_wait, faults=self._faults
                )
        for lane, state in self._partitions.items():
            if lane[0] == stream:
                state.position = min(state.position, self._saved_positions[lane], upto)

    async def recall(self, stream: str, seq: int, stored_ns: int) -> None:
        """See the port. What was lost and noticed is not noticed again."""
        if not any(seq in gap for gap in self._gaps.get(stream, ())):
            await super().recall(stream, seq, stored_ns)

    async def _go_back(self, stream: str) -> None:
        record = await self._deployment.log_record(stream)
        assert record is not None
        given = self._stream(stream).last_seq
        survived_ns = await self._store.last_stored_ns(stream)
        restored = record.restored(given + 1, survived_ns, now_us=int(self._clock() * 1e6), given=given)
        await self._renumber(stream, restored)

    async def page(self, stream: str, after: int, upto: int, part: int | None) -> list[StoredEvent]:
        """A few events of a range, in order."""
        return await self._stream(stream).page(after=after, upto=upto, part=part, limit=_PAGE)

    async def claim_as(self, holder: int, stream: str, part: int, owner: str) -> EmbeddedPartitionReader:
        """Claim a partition, and note who holds it."""
        async with self._claiming:
            return await self._claim(holder, stream, part, owner)

    async def claim_again(self, holder: int, stream: str, part: int, owner: str) -> EmbeddedPartitionReader:
        """Claim a partition again, unless another reader has claimed it."""
        async with self._claiming:  # as a compare-and-swap
            epoch, held_by = self._holders[stream, part]
            if held_by != holder or epoch != self._partitions[stream, part].epoch:
                raise PartitionLost(f"partition {part} has another reader")
            return await self._claim(holder, stream, part, owner)

    async def _claim(self, holder: int, stream: str, part: int, owner: str) -> EmbeddedPartitionReader:
        reader = await self.claim(stream, part, owner)
        self._holders[stream, part] = reader.epoch, holder
        return reader

    async def held(self, stream: str) -> list[StoredEvent]:
        """Every event that a stream holds."""
        return [event async for event in self.read(stream, after=0, upto=1 << 62)]

    async def lag(self) -> int:
        """How many events the consumers have not acknowledged, and the readers of the partitions neither."""
        unrouted = 0
        for (stream, part), state in self._partitions.items():
            unrouted += await self._unread(stream, state.position, await self.last_seq(stream), part)
        return unrouted + sum(
            [await self._unacknowledged(row.name, name) for row in STREAMS.values() for name in row.durables]
        )

    async def _unacknowledged(self, stream: str, consumer: str) -> int:
        end = await self.last_seq(stream)
        return await self._unread(stream, await self.acknowledged(stream, consumer), end, None)

    async def _unread(self, stream: str, after: int, upto: int, part: int | None) -> int:
        return len(await self._stream(stream).page(after=after, upto=upto, part=part))

    async def _append(
        self, name: str, subject: str, payload: bytes, msg_id: str, reason: str | None = None
    ) -> Appended:
        appended = await super()._append(name, subject, payload, msg_id, reason)
        if not appended.duplicate:
            self.stored(name, appended.seq, subject, payload)
        return appended

    def _tell(self, reset: Reset) -> None:
        self.resets.append(reset)
        self._watching = [linked for linked in self._watching if linked.is_alive]
        for linked in self._watching:
            linked.look_soon()


class LinkedLog:
    """`fanout.ports.log.Log` for one process, over its link.

    Args:
        link: to the server.
        server: the log.
        refuse: says which calls the server refuses now.
        draw: the chance of the run.
    """

    _holders = itertools.count(1)

    def __init__(self, link: Link, server: SimulatedLog, refuse: Refuse, draw: Draw) -> None:
        self.link = link
        self.server = server
        self._refuse = refuse
        self._draw = draw
        self._noticed = len(server.resets)
        self._numberings = self._numbered_now()
        self._refused = False
        self._listeners: dict[Callable[[Reset], None], None] = {}
        server.watch(self)

    @property
    def is_alive(self) -> bool:
        """Whether the process was not killed."""
        return not self.link.client.dead

    @property
    def partitions(self) -> int:
        return self.server.partitions

    def on_reset(self, listener: Callable[[Reset], None]) -> Callable[[], None]:
        self._listeners[listener] = None
        return partial(self._listeners.pop, listener, None)

    def look_soon(self) -> None:
        """Notice a loss soon, if the server is reached then."""
        self._look_in(self._draw.between(0.0, NOTICED_WITHIN_S))

    def notice(self) -> None:
        """Call the listeners with the losses that they have not heard of. Call this before anything is handed on."""
        while self._noticed < len(self.server.resets):
            reset = self.server.resets[self._noticed]
            self._noticed += 1
            self._numberings = self._numbered_now()
            for listener in list(self._listeners):
                listener(reset)

    def _numbered_now(self) -> dict[str, Numbering]:
        return {stream: self.server.numbering(stream) for stream in STREAMS}

    async def append(self, subject: str, payload: bytes, *, msg_id: str) -> Appended:
        return await self._store("append", subject, payload, msg_id=msg_id)  # type: ignore[no-any-return]

    async def get(self, stream: str, seq: int) -> StoredEvent | None:
        return await self._call("get", stream, seq)  # type: ignore[no-any-return]

    async def last_seq(self, stream: str) -> int:
        return await self._call("last_seq", stream)  # type: ignore[no-any-return]

    async def seq_at(self, stream: str, at_s: float) -> int:
        return await self._call("seq_at", stream, at_s)  # type: ignore[no-any-return]

    def numbering(self, stream: str) -> Numbering:
        return self._numberings[stream]

    async def recall(self, stream: str, seq: int, stored_ns: int) -> None:
        await self._call("recall", stream, seq, stored_ns)

    async def missed_reset(self, stream: str, since: float) -> Reset | None:
        return await self._call("missed_reset", stream, since)  # type: ignore[no-any-return]

    async def acknowledged(self, stream: str, durable: str) -> int:
        return await self._call("acknowledged", stream, durable)  # type: ignore[no-any-return]

    async def dead_letter(self, stream: str, event: StoredEvent, reason: str) -> None:
        await self._store("dead_letter", stream, event, reason)

    async def ping(self) -> None:
        """As with JetStream, a log that has refused an event for want of room is not well until it has room again."""
        if self._refused:
            await self._call("ping", as_="append")
        await self._call("ping")

    async def read(self, stream: str, *, after: int, upto: int, part: int | None = None) -> AsyncGenerator[StoredEvent]:
        while page := await self._call("page", stream, after, upto, part):
            for event in page:
                yield event
            after = page[-1].seq

    async def pages(self, stream: str, *, after: int, upto: int) -> AsyncGenerator[PartitionEvents]:
        while page := await self._call("page", stream, after, upto, None):
            yield batch_of(page)
            after = page[-1].seq

    async def consume(self, stream: str, durable: str, *, batch: int = 200) -> LinkedConsumer:
        consumer = LinkedConsumer(self, partial(self.server.consume, stream, durable, batch=batch))
        await consumer.join()
        return consumer

    async def tail(self, stream: str, *, after: int) -> LinkedTail:
        await self._call("last_seq", stream)
        return LinkedTail(self, stream, after)

    async def claim(self, stream: str, partition: int, owner: str) -> LinkedReader:
        holder = next(self._holders)
        claimed = await self._call("claim_as", holder, stream, partition, owner)
        return LinkedReader(self, stream, claimed, partial(self.server.claim_again, holder, stream, partition, owner))

    async def _store(self, name: str, *args: Any, **options: Any) -> Any:
        try:
            answer = await self._call(name, *args, **options)
        except StorageFull:
            self._refused = True
            raise
        self._refused = False
        return answer

    async def _call(self, name: str, *args: Any, as_: str = "", **options: Any) -> Any:
        answer = await self.link.call(partial(self._served, name, as_ or name, *args, **options), name)
        self.notice()
        return answer

    async def _served(self, name: str, as_: str, *args: Any, **options: Any) -> Any:
        """Have the server do something, unless it refuses what is named `as_`."""
        if (refusal := self._refuse(as_)) is not None:
            raise refusal
        return await getattr(self.server, name)(*args, **options)

    def _look_in(self, seconds: float) -> None:
        loop = self.link._loop
        loop.call_later(seconds, self._look, context=self.link.client.context)

    def _look(self) -> None:
        if self.link.is_silent or self.link.server.paused:
            self._look_in(_LOOK_AGAIN_S)
        else:
            self.notice()


def _seq_behind(connection: sqlite3.Connection, stream: str, newest: int) -> int:
    """The last event before the newest ones; 0 if there is none."""
    row = connection.execute(
        "SELECT seq FROM events WHERE stream = ? ORDER BY seq DESC LIMIT 1 OFFSET ?", (stream, newest)
    ).fetchone()
    return row[0] if row else 0
