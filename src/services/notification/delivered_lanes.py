"""The lane progress of an instance: up to which `seq` of each lane the events were delivered to its clients."""

import asyncio
from typing import Final

import structlog

from fanout import LaneProgress
from fanout.errors import Unavailable
from fanout.lanes import Lane
from fanout.ports.log import Log
from fanout.streams import INBOX_STREAMS, MESSAGES, STREAMS
from services.runtime.tasks import all_ended

PATIENCE_S = 1.0
"""How long a client waits for the end of a stream that may be missed."""

log = structlog.get_logger(__name__)


class DeliveredLanes:
    """The progress of each lane. A lane that is not known yet begins at the baseline of its stream.

    Args:
        events: the log whose streams the lanes belong to.
    """

    def __init__(self, events: Log) -> None:
        self.progress: Final = LaneProgress()
        self._log = events
        self._baseline = dict.fromkeys(INBOX_STREAMS, 0)

    async def rebase(self) -> None:
        """Begin at the end of the streams, since the instance has no client whom an earlier event could concern.

        A stream that may be missed keeps its baseline if the log does not say in time where it ends.

        Raises:
            Unavailable: the log cannot say where another stream ends.
        """
        ends = await all_ended(self._end(stream) for stream in self._baseline)
        self._baseline.update(zip(self._baseline, ends, strict=True))
        for number in self.progress.lanes():
            lane = Lane.of_number(number)
            self.advance(lane, self._baseline[lane.stream])

    async def _end(self, stream: str) -> int:
        if not STREAMS[stream].may_be_missed:
            return await self._log.last_seq(stream)
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._log.last_seq(stream)
        except (TimeoutError, Unavailable) as error:
            log.warning("the end of a stream is not known", stream=stream, reason=str(error) or "no answer in time")
            return self._baseline[stream]

    def messages_upto(self) -> int:
        """The seq of MESSAGES up to which every event that concerns this instance's clients was delivered."""
        return min(self.upto(Lane(MESSAGES, part)) for part in range(self._log.partitions))

    def upto(self, lane: Lane) -> int:
        """The seq up to which every event of a lane was delivered."""
        upto = self.progress.upto(lane.number)
        return self._baseline[lane.stream] if upto is None else upto

    def advance(self, lane: Lane, upto: int) -> None:
        """Record that every event of a lane up to a seq was delivered, or concerns no client here."""
        self.progress.advance(lane.number, upto, plain=lane.spec.plain)
