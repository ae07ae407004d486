"""Follows the events of a client, and knows the point at which it would resume."""

from fanout.client.events import (
    AuthOk,
    Catchup,
    CatchupComplete,
    Event,
    FullRefreshRequired,
    HeartbeatOk,
    MessageNew,
    ResumeDropped,
    ThreadReply,
    UnreadCounts,
)
from fanout.client.resume_point import ResumePoint


class Position:
    """The resume point after all events that it was shown.

    A connection that resumes is in a catch-up until `catchup.complete`. While the log is replayed (tier 1), the point
    moves with each event. From the first frame of a later tier on it stays, because what comes then is not in the order
    of the log: after a cut, the catch-up is repeated from the same point.

    Args:
        point: where to resume; None for a client that has no point yet.

    Attributes:
        is_catching_up: whether a catch-up is under way.
    """

    def __init__(self, point: ResumePoint | None = None) -> None:
        self.is_catching_up = False
        self._known = point is not None
        self._seq = 0
        self._parts: dict[int, int] = {}
        self._log: str | None = None
        self._ahead: dict[str, int] = {}
        self._start(point or ResumePoint(0))
        self._live_from: AuthOk | None = None
        self._in_order = True
        """Whether what comes is in the order of the log, from the point on."""

    @property
    def point(self) -> ResumePoint | None:
        """Where to resume; None before the first `auth.ok`."""
        if not self._known:
            return None
        above = {part: seq for part, seq in self._parts.items() if seq > self._seq}
        return ResumePoint(self._seq, above, self._log, dict(self._ahead))

    def see(self, event: Event) -> None:
        """Move the point by one event. The events are those of one client, in their order."""
        match event:
            case MessageNew() | ThreadReply():
                self._see_position(event.channel_id, event.part, event.seq)
            case HeartbeatOk(seq=seq):
                self._seq = max(seq, self._seq)
            case AuthOk():
                self._welcome(event)
            case Catchup() | UnreadCounts() | FullRefreshRequired():
                self._in_order = not self.is_catching_up
                self._see_stored(event)
            case CatchupComplete(last_event_seq=seq):
                self._complete(seq)
            case ResumeDropped():
                self._known = False
                self._start(ResumePoint(0))

    def _start(self, point: ResumePoint) -> None:
        self._seq, self._parts, self._log, self._ahead = point.seq, dict(point.parts), point.log, dict(point.ahead)

    def _see_position(self, channel_id: str, part: int, seq: int) -> None:
        if self._in_order:
            self._parts[part] = max(seq, self._parts.get(part, 0))
        else:
            self._ahead[channel_id] = max(seq, self._ahead.get(channel_id, 0))

    def _see_stored(self, event: Event) -> None:
        if isinstance(event, Catchup) and self.is_catching_up:
            for missed in event.channels:
                newest = max((message.seq or 0 for message in missed.messages), default=0)
                self._ahead[missed.channel_id] = max(newest, self._ahead.get(missed.channel_id, 0))

    def _welcome(self, auth: AuthOk) -> None:
        self._live_from, self._in_order = auth, True
        self.is_catching_up = self._known
        if not self._known and auth.seq is not None:
            self._adopt(auth)

    def _complete(self, last_event_seq: int) -> None:
        if self._live_from is not None and self._live_from.seq is not None:
            self._adopt(self._live_from)
        self._seq = max(last_event_seq, self._seq)
        self._ahead.clear()
        self.is_catching_up, self._in_order = False, True

    def _adopt(self, auth: AuthOk) -> None:
        """Take the point from which live events flow.

        After a replay of the log it can only raise the point. After a later tier it replaces the point, which may have
        been of another log.
        """
        if not self._in_order:
            self._start(ResumePoint(0))
        self._known, self._log = True, auth.log
        self._seq = max(auth.seq or 0, self._seq)
        for part, seq in auth.parts.items():
            self._parts[part] = max(seq, self._parts.get(part, 0))
