"""The newest part of the log, read once for all clients that were away."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, NamedTuple

import structlog

from fanout import Deliveries, Unavailable, machine
from fanout.ports.log import Log, Reset
from fanout.streams import REPLAYED_STREAM, STREAMS
from services.notification.metrics import LOG_BYTES_CACHED, LOG_EVENTS_READ, LOG_READS
from services.notification.registry import Registry

log = structlog.get_logger(__name__)

FRAMES_BYTES: Final = 128 * 1024 * 1024
"""Bytes of frames that are kept. Those that are dropped are read again when they are needed."""
UNUSED_S: Final = 180.0
"""Seconds after which nothing is kept if no client was away."""
LAG_S: Final = 0.1
"""Seconds after which the log is read again if it did not give all that it holds."""
READINGS: Final = 20
"""How often it is read before it counts as unavailable."""


class LogWentBack(Exception):  # noqa: N818 - it says what happened
    """The log has numbered its events again, or lost changes of memberships. What was started before cannot go on."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The messages that a client lacks."""

    user_id: str
    points: Sequence[int]
    """For each partition, the seq up to which the client has everything."""
    spans: Sequence[tuple[str, int, int]]
    """As in `LogCache`: when the user was a member, of the channels for which that changed lately."""
    generation: int
    """The generation of the log when the points were found."""


class Next(NamedTuple):
    """The next messages that a client lacks."""

    frames: bytes
    """One behind the other."""
    upto: int
    """The seq to which they bring the client."""
    messages: int
    """How many they are."""


class ReplayedLog:
    """Has the messages that clients lack, as the frames that they would have had live.

    Args:
        events: the log.
        registry: has the channels of each user.
    """

    def __init__(self, events: Log, registry: Registry) -> None:
        self._log = events
        self._cache = registry.log_cache(events.partitions, FRAMES_BYTES)
        self._reading = asyncio.Lock()
        self._used_at = 0.0
        self.generation = 0
        """Rises when the log goes back."""

    def hear_reset(self, reset: Reset) -> None:
        """Handle the news that a stream went back; to be given to `Log.on_reset`."""
        spec = STREAMS[reset.stream]
        if spec.replayed or spec.changes_memberships:
            self.generation += 1
            self._cache.clear()

    def check(self, generation: int) -> None:
        """Return if the log did not go back since a generation.

        Raises:
            LogWentBack: it did.
        """
        if generation != self.generation:
            raise LogWentBack

    async def count(self, wanted: Wanted, upto: int) -> int:
        """The number of messages up to a seq that a client lacks.

        Raises:
            LogWentBack, Unavailable: as for `next`.
        """
        await self._load(wanted.generation, min(wanted.points), upto)
        return self._cache.count(wanted.user_id, wanted.points, upto, wanted.spans)

    async def next(self, wanted: Wanted, after: int, upto: int, most: int) -> Next:
        """The next messages that a client lacks, above `after` and up to `upto`: at most so many bytes, or one message.

        The channels of the user are those of the moment at which this returns.

        Raises:
            LogWentBack: meanwhile.
            Unavailable: the log does not give them.
        """
        while True:
            await self._load(wanted.generation, after, upto)
            user_id, points, spans = wanted.user_id, wanted.points, wanted.spans
            found = Next(*self._cache.next(user_id, points, after, upto, most, spans))
            if found.messages or found.upto == upto:
                return found
            after = found.upto
            await self._load(wanted.generation, after, after + 1, with_frames=True)

    async def stored_at(self, seq: int) -> int:
        """When the newest message up to a seq was stored, in nanoseconds since 1970; 0 if that is not known.

        Raises:
            Unavailable: the log does not answer.
        """
        if (cached := self._cache.time_upto(seq)) is not None:
            return cached
        stored = await self._log.get(REPLAYED_STREAM, seq)
        return 0 if stored is None else stored.stored_ns

    def forget(self, upto: int) -> None:
        """Forget messages that hardly any client needs any more, and all if none was away for long."""
        if machine.monotonic_s() - self._used_at > UNUSED_S:
            self._cache.clear()
        self._cache.forget(upto)
        LOG_BYTES_CACHED.set(self._cache.bytes)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is kept."""
        return self._cache.bytes == 0

    async def _load(self, generation: int, after: int, upto: int, *, with_frames: bool = False) -> None:
        self.check(generation)
        self._used_at = machine.monotonic_s()
        while self._cache.missing(after, upto, with_frames=with_frames) is not None:
            async with self._reading:  # one reads for all, and who has waited finds that nothing is missing
                if (missing := self._cache.missing(after, upto, with_frames=with_frames)) is not None:
                    await self._read(*missing)
            self.check(generation)

    async def _read(self, after: int, upto: int) -> None:
        LOG_READS.inc()
        for _ in range(READINGS):
            after = await self._read_once(after, upto)
            if after == upto or await self._log.get(REPLAYED_STREAM, upto) is None:
                break
            await asyncio.sleep(LAG_S)  # a replica gave it, and has not heard of all that its leader has stored
        else:
            raise Unavailable("the log does not give all that it holds")
        self._cache.add(after, upto, Deliveries.of([]))
        LOG_BYTES_CACHED.set(self._cache.bytes)

    async def _read_once(self, after: int, upto: int) -> int:
        generation = self.generation
        async with aclosing(self._log.pages(REPLAYED_STREAM, after=after, upto=upto)) as pages:
            async for page in pages:
                self.check(generation)
                end = min(page.last_seq, upto)
                refused = self._cache.add(after, end, page.deliveries)
                LOG_EVENTS_READ.inc(len(page))
                if refused:
                    log.warning("events cannot be replayed", after=after, upto=end, count=refused)
                after = end
        self.check(generation)
        return after
