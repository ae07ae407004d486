"""The lane progress of an instance: up to which `seq` of each lane the events were delivered to its clients."""

from typing import Final

from fanout import LaneProgress
from fanout.lanes import Lane
from fanout.ports.log import Log
from fanout.streams import INBOX_STREAMS, MESSAGES


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

        Raises:
            Unavailable: the log cannot say where its streams end.
        """
        for stream in self._baseline:
            self._baseline[stream] = await self._log.last_seq(stream)
        for number in self.progress.lanes():
            lane = Lane.of_number(number)
            self.advance(lane, self._baseline[lane.stream])

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
