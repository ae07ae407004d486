"""One stream of the server: how its sequences become positions, and whether it is still what it was.

A server that loses power comes back without its newest events, and operators restore backups and delete streams: then
sequences are given again. So each process remembers the newest event that it knows, and compares the stream with it:
after a lost connection, before anything is delivered, published or acknowledged; after any fault; and once a second. If
the event is gone, the process that first stores the deployment's next record decides how the stream is numbered from
then on, and all others adopt that record. See `fanout.log_record`.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import structlog

from fanout import machine
from fanout.errors import FanoutError, Unavailable
from fanout.log_record import LogRecord
from fanout.ports.deployment import Deployment
from fanout.ports.log import Reset
from fanout.streams import STREAMS
from services.adapters.nats import api
from services.adapters.nats.connection import NatsConnection
from services.adapters.nats.streams import StreamSettings, ensured_at_once, partitions_of
from services.adapters.nats.times import nanoseconds, text_of

_ATTEMPTS: Final = 10

_log = structlog.get_logger(__name__)


class _Known(NamedTuple):
    """An event that the stream held."""

    position: int
    stored_ns: int


class _Published(NamedTuple):
    """An event that the stream answered to have stored."""

    position: int
    msg_id: str


class NatsStream:
    """A stream as its readers and publishers see it.

    Args:
        nc: the connection.
        stream: which.
        settings: how it is created where it is gone.
        deployment: keeps its record.
    """

    def __init__(self, nc: NatsConnection, stream: str, settings: StreamSettings, deployment: Deployment) -> None:
        self.nc = nc
        self.stream = stream
        self.names = settings.names
        self.name = settings.names.stream(stream)
        """On the server."""
        self.record = LogRecord.first("")
        self._settings = settings
        self._deployment = deployment
        self._info: dict[str, Any] = {}
        self._newest: _Known | None = None
        self._recalled: _Known | None = None
        self._published: _Published | None = None
        self._invalidations = 1
        self._settled = 0
        self._turn = asyncio.Lock()
        self._listeners: dict[Callable[[Reset], None], None] = {}
        self._readers: dict[Callable[[str], None], None] = {}
        self._failure: BaseException | None = None
        nc.on_disconnect(self.invalidate)

    @property
    def lifts(self) -> list[tuple[int, int]]:
        """(start, lift) of each segment: from the sequence `start` on, a position is the sequence plus `lift`."""
        return [(segment.start, segment.lift) for segment in self.record.segments]

    def subject_of(self, partition: int) -> str:
        """The filter of one partition's stored subjects."""
        return self.names.partition(self.stream, partition)

    @property
    def settled(self) -> bool:
        """Whether the stream was compared since it was last invalidated."""
        return self._settled >= self._invalidations

    def on_reset(self, listener: Callable[[Reset], None]) -> Callable[[], None]:
        """Call `listener` each time that the stream is found to have gone back; the returned function ends that."""
        self._listeners[listener] = None

        def forget() -> None:
            self._listeners.pop(listener, None)

        return forget

    def on_interruption(self, interrupt: Callable[[str], None]) -> Callable[[], None]:
        """Call `interrupt` with the reason each time that readers must begin again; the returned function ends that."""
        self._readers[interrupt] = None

        def forget() -> None:
            self._readers.pop(interrupt, None)

        return forget

    def fail(self, failure: BaseException) -> None:
        """End every reader: the stream is not compared any more, so its events may have changed unnoticed."""
        self._failure = failure
        self._interrupt("the log cannot be compared any more")

    def observe(self, position: int, stored_ns: int) -> None:
        """Take note of an event that was read: from now on the stream is expected to hold it."""
        if stored_ns and (self._newest is None or position > self._newest.position):
            self._newest = _Known(position, stored_ns)

    async def recall(self, position: int, stored_ns: int) -> None:
        """Compare the stream with an event that was kept elsewhere, even if a newer event was seen: it may be new.

        Raises:
            FanoutError, Unavailable: as `verified`.
        """
        self._recalled = _Known(position, stored_ns)
        await self.look()

    def published(self, seq: int, msg_id: str) -> int:
        """Take note of an event that the stream has stored, and return its position."""
        position = self.record.position(seq)
        if self._published is None or position > self._published.position:
            self._published = _Published(position, msg_id)
        return position

    def invalidate(self) -> None:
        """Have the next `verified` compare the stream: something happened to it, or may have happened."""
        self._invalidations += 1

    async def verified(self) -> None:
        """Return when the stream was compared since it was last invalidated.

        Raises:
            FanoutError: the stream belongs to another deployment, or its number of partitions has changed.
            Unavailable: the server or the membership store cannot be reached.
            BaseException: what `fail` was given.
        """
        if self._failure is not None:
            raise self._failure
        while not self.settled:
            async with self._turn:
                if not self.settled:
                    await self._settle()

    async def look(self) -> None:
        """Compare now, whether the stream was invalidated or not.

        Raises:
            FanoutError, Unavailable: as `verified`.
        """
        async with self._turn:
            await self._settle()

    async def end(self) -> int:
        """The position up to which the stream is to be read now."""
        await self.verified()
        return self.record.end(await api.last_seq(self.nc, self.name))

    async def _settle(self) -> None:
        invalidations = self._invalidations
        try:
            await self._compare()
        except api.RequestRefused as error:
            raise Unavailable(f"the stream {self.name} cannot be compared: {error}") from error
        self._settled = invalidations

    async def _compare(self) -> None:
        for _ in range(_ATTEMPTS):
            # Read before the info is requested: the info must contain what is known now, but not what comes later.
            known, published = self._recalled or self._newest, self._published
            kept = await self._deployment.log_record(self.name)
            self._info = await ensured_at_once(self.nc, self._settings, self.stream, known=kept is not None)
            self._check_partitions()
            self._check_record(kept)
            if kept is None:
                following: LogRecord | None = LogRecord.first(self._info["created"])
            elif self._adopt(kept):
                continue
            else:
                following = await self._following(kept, known, published)
            if following is None:
                self._recalled = None
                self._observe_end()
                return
            if await self._deployment.replace_log_record(self.name, following):
                self._adopt(following)
        raise Unavailable(f"the record of the stream {self.name} keeps changing")

    def _check_partitions(self) -> None:
        """A stream created again with another number of partitions would store events where nobody reads them."""
        wanted = self._settings.partitions
        if STREAMS[self.stream].partitioned and (found := partitions_of(self._info["config"])) != wanted:
            raise FanoutError(
                f"the stream {self.name} was made again with {found} partitions, and had {wanted}: restart"
            )

    def _check_record(self, kept: LogRecord | None) -> None:
        """A process that starts now would number the stream by an older record, and this one by the newer record."""
        if (kept.generation if kept else 1) < self.record.generation:
            raise FanoutError(
                f"the membership store has an older record of {self.name} than this process: it was restored, or is "
                "another one; restart every service"
            )

    def _interrupt(self, reason: str) -> None:
        for interrupt in list(self._readers):
            interrupt(reason)

    def _adopt(self, record: LogRecord) -> bool:
        """Number the stream by a record from now on. False when that record, or a newer one, is in use already."""
        before = self.record
        if before.created and record.generation <= before.generation:
            return False
        self.record = record
        if not before.created:
            return True  # the first record: what is remembered was numbered by it
        self._newest = self._recalled = self._published = None
        reset = Reset(self.stream, record.survived_ns(before.generation))
        _log.warning(
            "nats.log_went_back", stream=self.name, generation=record.generation, survived=_since(reset.survived_ns)
        )
        self._interrupt("the log went back")
        for listener in list(self._listeners):
            listener(reset)
        return True

    async def _following(
        self, record: LogRecord, known: _Known | None, published: _Published | None
    ) -> LogRecord | None:
        """The next record, if the stream has lost events or was replaced; else None."""
        now_us, given = machine.wall_ns() // 1_000, max((one.position for one in (known, published) if one), default=0)
        created, first_seq = self._info["created"], self._info["config"].get("first_seq", 0)
        if created != record.created:
            return record.replaced(created, first_seq, now_us=now_us, given=given)
        if await self._has(record, known) and await self._has(record, published):
            return None
        start, survived_ns = await self._first_new(known.stored_ns if known else 0)
        return record.restored(start, survived_ns, now_us=now_us, given=given)

    async def _has(self, record: LogRecord, one: _Known | _Published | None) -> bool:
        """Whether an event is where it was; also True where that cannot be known."""
        if one is None or not record.has(one.position):
            return True  # it was numbered by an older record, and a newer one accounts for it
        seq, state = record.sequence(one.position), self._info["state"]
        if seq < state["first_seq"]:
            return True  # discarded for its age
        if seq > state["last_seq"]:
            return False
        found = await api.stored_message(self.nc, self.name, seq)
        if found is None:
            return True
        return found.stored_ns == one.stored_ns if isinstance(one, _Known) else found.msg_id == one.msg_id

    async def _first_new(self, after_ns: int) -> tuple[int, int]:
        """The first sequence stored after a time, and when the event before it was stored."""
        start = await api.first_after(self.nc, self.name, after_ns)
        before = await api.stored_message(self.nc, self.name, start - 1) if start > 1 else None
        return start, before.stored_ns if before else 0

    def _observe_end(self) -> None:
        state = self._info["state"]
        if state["messages"]:
            self.observe(self.record.position(state["last_seq"]), nanoseconds(state["last_ts"]))


def _since(survived_ns: int) -> str:
    return f"what was stored up to {text_of(survived_ns)}" if survived_ns else "nothing"
