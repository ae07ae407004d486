"""The write queue: frames that wait to be written to the sockets of an instance. The library's `Hub` holds them."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import structlog

from fanout import BatchEvent, Engine, Hub, InboundBatch, LaneProgress
from fanout.error_codes import CloseCode
from fanout.ports.socket import SocketClosed
from services.notification.metrics import FRAMES_DROPPED, FRAMES_SENT, STALE_DROPPED
from services.notification.session import Session
from services.runtime.skipping import skip

log = structlog.get_logger(__name__)

WHAT_TO_DO = "reconnect, and read what is missing by channels.history"
SOCKETS_AT_ONCE = 256
"""Sockets that are written to before the event loop continues: about two milliseconds."""
MOST_WAITING = 65_536
"""Frames that may wait, each counted once for each socket. While there are more, `room` does not return."""


class WriteQueue:
    """Queues frames, and writes them in the next turn of the event loop: one write for each socket.

    Args:
        engine: knows which sessions read a channel; in it, each session is an instance.
        close_slow: called with a session that reads so slowly that a durable frame exceeds its budget.
    """

    def __init__(self, engine: Engine, close_slow: Callable[[Session], None]) -> None:
        self._hub = Hub(engine)
        self._close_slow = close_slow
        self._sessions: dict[int, Session] = {}
        self._scheduled = False
        self._wrote_some = asyncio.Event()

    def add(self, session: Session) -> None:
        """Add a session. Nothing is written to it before `open`, so that `auth.ok` is its first frame."""
        descriptor = session.socket.acquire_descriptor(partial(self._may_send, session))
        session.number = self._hub.add(session.session_id, descriptor, session.budget)
        self._sessions[session.number] = session
        self._hub.block(session.number, session.socket.buffered > 0)

    def remove(self, session: Session) -> None:
        """Remove a session and its frames. Its socket is closed elsewhere."""
        if self._holds(session):
            self._hub.remove(session.number)
            del self._sessions[session.number]
            self._wrote_some.set()

    def mute(self, session: Session) -> None:
        """Queue no more events of channels for a session. It takes effect at once, however many channels it reads."""
        if self._holds(session):
            self._hub.mute(session.number)

    def open(self, session: Session, first: bytes) -> None:
        """Write `first`, then what is queued already, and from now on every frame in its turn."""
        self._hub.open(session.number, first)
        self.flush(session)

    def deliver(
        self,
        channel_id: str,
        frame: bytes,
        *,
        seq: int = 0,
        ephemeral: bool = False,
        without: Iterable[Session] = (),
        also: Iterable[Session] = (),
    ) -> None:
        """Queue a frame for the readers of a channel, except the sessions `without`, and for the sessions `also`.

        `seq` is as in `Registry.deliver`.
        """
        over_budget = self._hub.deliver(
            channel_id, frame, seq=seq, ephemeral=ephemeral, without=_numbers(without), also=_numbers(also)
        )
        for number in over_budget:
            self._queue_if_fits(self._sessions[number], frame, ephemeral=ephemeral)
        self._write_soon()

    async def receive(self, batch: InboundBatch, progress: LaneProgress) -> BatchEvent | None:
        """Queue the events of a batch for the readers of their channels, up to one that needs more than that.

        The next call continues behind that event.

        Args:
            batch: as a worker sent it.
            progress: how far each lane was delivered; advanced with each event of a plain lane.

        Returns:
            the event that the caller must handle, or None at the end of the batch.

        Raises:
            ValueError: the rest of the batch cannot be read.
        """
        while not batch.is_done:
            await self.room()
            self._write_soon()  # also if the rest of the batch cannot be read
            event, over_budget, stale, unknown = self._hub.receive(batch, progress, MOST_WAITING)
            STALE_DROPPED.inc(stale)
            if unknown:
                skip("record", "its kind is not known here", count=unknown)
            if event is None:
                continue
            if not over_budget:
                return event
            for number in over_budget:
                self._queue_if_fits(self._sessions[number], event.frame, ephemeral=not event.lane)
        return None

    def queue(self, session: Session, frame: bytes, *, ephemeral: bool = False) -> None:
        """Queue a live frame for one session; while the session catches up, for after that."""
        if not self._holds(session):
            return
        if session.is_live or not self._hub.set_aside(session.number, frame, ephemeral=ephemeral):
            self._queue_if_fits(session, frame, ephemeral=ephemeral)
            self._write_soon()

    def push(self, session: Session, frame: bytes) -> None:
        """Queue a frame for one session, also if it catches up, in front of all live frames that are kept for it."""
        if self._holds(session):
            self._queue_if_fits(session, frame, ephemeral=False)
            self._write_soon()

    def answer(self, session: Session, frame: bytes) -> None:
        """Write the answer to a client's frame at once. It is dropped if the client does not read its answers."""
        if self._holds(session):
            self._queue_if_fits(session, frame, ephemeral=True)
            self.flush(session)

    def catch_up(self, session: Session) -> None:
        """Leave out live messages, and keep other live frames until `go_live`, as far as half of the budget goes."""
        session.is_live = False
        self._hub.catch_up(session.number, session.budget // 2)

    def hold(self, session: Session) -> None:
        """Keep live messages too, for a session that catches up."""
        self._hub.hold(session.number)

    def is_holding(self, session: Session) -> bool:
        """Whether no live message was left out since the last `hold`."""
        return self._hub.is_holding(session.number)

    async def replay(self, session: Session, frames: bytes) -> None:
        """Write frames to a session that catches up, and wait until the socket has taken them.

        Raises:
            SocketClosed: the client has gone, or the session was ended.
        """
        if session.ending is not None or not self._holds(session):
            raise SocketClosed
        self._hub.push(session.number, frames)
        self.flush(session)
        await session.socket.drained()

    def go_live(self, session: Session, floor: int, end: bytes | None = None) -> bool:
        """Write `end`, then what was kept, and from now on each live frame. Messages up to `floor` are left out.

        Returns:
            whether nothing is missing but what a slow reader may miss.
        """
        if not self._holds(session):
            return True
        ephemeral, durable = self._hub.go_live(session.number, floor, end)
        FRAMES_DROPPED.inc(ephemeral)
        session.is_live, session.given = True, floor
        self.flush(session)
        return not durable

    def flush(self, session: Session) -> None:
        """Write what is queued for a session now, without waiting for its turn."""
        if self._holds(session):
            frames, left, _ = self._hub.flush_one(session.number)
            self._wrote(frames, left)

    async def room(self) -> None:
        """Return when at most `MOST_WAITING` frames wait. Call it before queueing many."""
        while self._hub.frames > MOST_WAITING:
            self._wrote_some.clear()
            await self._wrote_some.wait()

    def _holds(self, session: Session) -> bool:
        return self._sessions.get(session.number) is session

    def _may_send(self, session: Session, may_send: bool) -> None:  # noqa: FBT001 - as the port calls it
        if self._holds(session):
            self._hub.block(session.number, not may_send)

    def _queue_if_fits(self, session: Session, frame: bytes, *, ephemeral: bool) -> None:
        if self._fits(session, len(frame), ephemeral=ephemeral):
            self._hub.push(session.number, frame)
        elif ephemeral:
            FRAMES_DROPPED.inc()
        else:
            self._close_slow(session)

    def _fits(self, session: Session, length: int, *, ephemeral: bool) -> bool:
        limit = session.budget // 2 if ephemeral else session.budget
        if self._waiting(session) + length <= limit:
            return True
        self.flush(session)  # what the socket takes at once does not count
        return self._waiting(session) + length <= limit

    def _waiting(self, session: Session) -> int:
        return self._hub.waiting(session.number) + session.socket.buffered

    def _write_soon(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        self._scheduled = False
        frames, left, more = self._hub.flush(SOCKETS_AT_ONCE)
        self._wrote(frames, left)
        if more:
            self._write_soon()

    def _wrote(self, frames: int, left: Sequence[tuple[int, bytes]]) -> None:
        FRAMES_SENT.inc(frames)
        self._wrote_some.set()
        for number, rest in left:
            session = self._sessions[number]
            try:
                session.socket.write(rest)
            except Exception:  # the other sockets must still be written to
                log.exception("cannot write to a client", session_id=session.session_id)
                session.end(CloseCode.INTERNAL_ERROR, f"the connection failed; {WHAT_TO_DO}")


def _numbers(sessions: Iterable[Session]) -> list[int]:
    return [session.number for session in sessions]
