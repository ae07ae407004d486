"""WriteQueue: what the sessions of an instance are to be sent, by way of the library's `Hub`."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import structlog

from fanout import BatchEvent, Engine, Hub, InboundBatch, LaneProgress
from services.notification.close_codes import INTERNAL_ERROR
from services.notification.metrics import FRAMES_DROPPED, FRAMES_SENT, STALE_DROPPED
from services.notification.session import Session
from services.runtime.skipping import skip

log = structlog.get_logger(__name__)

WHAT_TO_DO = "reconnect, and read what is missing by channels.history"
SOCKETS_AT_ONCE = 256
"""Written to before the event loop gets its turn: some two milliseconds."""
MOST_WAITING = 65_536
"""Frames, each counted for each socket; with more, whoever brings them waits."""


class WriteQueue:
    """Frames are queued, and written in the next turn of the event loop: one write per socket for all that is due.

    Args:
        engine: says who reads a channel; sessions are its instances.
        refuse: called with a session that reads too slowly for a durable frame.
    """

    def __init__(self, engine: Engine, refuse: Callable[[Session], None]) -> None:
        self._hub = Hub(engine)
        self._refuse = refuse
        self._sessions: dict[int, Session] = {}
        self._scheduled = False
        self._wrote_some = asyncio.Event()

    def add(self, session: Session) -> None:
        """Take a session in. Nothing is written to it before `open`, so that `auth.ok` is the first frame."""
        descriptor = session.socket.lend(partial(self._may_send, session))
        session.number = self._hub.add(session.session_id, descriptor, session.budget)
        self._sessions[session.number] = session
        self._hub.block(session.number, session.socket.buffered > 0)

    def remove(self, session: Session) -> None:
        """Forget a session; its socket is closed by its owner."""
        if self._holds(session):
            self._hub.remove(session.number)
            del self._sessions[session.number]
            self._wrote_some.set()

    def mute(self, session: Session) -> None:
        """Queue nothing more for a session as a reader of channels: at once, however many it reads."""
        if self._holds(session):
            self._hub.mute(session.number)

    def open(self, session: Session, first: bytes) -> None:
        """Write `first`, and from now on whatever is queued."""
        self._hub.open(session.number, first)
        self.flush(session)

    def deliver(
        self,
        channel_id: str,
        frame: bytes,
        *,
        ephemeral: bool = False,
        without: Iterable[Session] = (),
        also: Iterable[Session] = (),
    ) -> None:
        """Queue a frame for the readers of a channel, without some and with others."""
        to_judge = self._hub.deliver(
            channel_id, frame, ephemeral=ephemeral, without=_numbers(without), also=_numbers(also)
        )
        for number in to_judge:
            self._judge(self._sessions[number], frame, ephemeral=ephemeral)
        self._write_soon()

    async def receive(self, arrival: InboundBatch, chains: LaneProgress) -> BatchEvent | None:
        """Queue the events of a batch, as far as they are for the readers of their channels and nothing more.

        Returns:
            the first record that needs more than that, or None at the end.

        Raises:
            ValueError: what is left of the batch cannot be read.
        """
        while not arrival.is_done:
            await self.room()
            self._write_soon()  # what can be read is delivered, also where what follows cannot
            record, to_judge, stale, unknown = self._hub.receive(arrival, chains, MOST_WAITING)
            STALE_DROPPED.inc(stale)
            for _ in range(unknown):
                skip("record", "its kind is not known here")
            if record is None:
                continue
            if not to_judge:
                return record
            for number in to_judge:
                self._judge(self._sessions[number], record.frame, ephemeral=not record.lane)
        return None

    def queue(self, session: Session, frame: bytes, *, ephemeral: bool = False) -> None:
        """Queue a frame for one session."""
        if self._holds(session):
            self._judge(session, frame, ephemeral=ephemeral)
            self._write_soon()

    def answer(self, session: Session, frame: bytes) -> None:
        """Write a frame that answers the client's own; a client that does not read its answers gets fewer."""
        self.queue(session, frame, ephemeral=True)
        self.flush(session)

    def flush(self, session: Session) -> None:
        """Write what is queued for a session now, out of its turn."""
        if self._holds(session):
            frames, left, _ = self._hub.flush_one(session.number)
            self._wrote(frames, left)

    async def room(self) -> None:
        """Return when not too much waits: for whoever brings more."""
        while self._hub.frames > MOST_WAITING:
            self._wrote_some.clear()
            await self._wrote_some.wait()

    def _holds(self, session: Session) -> bool:
        return self._sessions.get(session.number) is session

    def _may_send(self, session: Session, may_send: bool) -> None:  # noqa: FBT001 - as the port calls it
        if self._holds(session):
            self._hub.block(session.number, not may_send)

    def _judge(self, session: Session, frame: bytes, *, ephemeral: bool) -> None:
        if self._fits(session, len(frame), ephemeral=ephemeral):
            self._hub.push(session.number, frame)
        elif ephemeral:
            FRAMES_DROPPED.inc()
        else:
            self._refuse(session)

    def _fits(self, session: Session, length: int, *, ephemeral: bool) -> bool:
        limit = session.budget // 2 if ephemeral else session.budget
        if self._waiting(session) + length <= limit:
            return True
        self.flush(session)  # what the reader takes at once does not wait for it
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
            except Exception:  # the others' frames must go on
                log.exception("cannot write to a client", session_id=session.session_id)
                session.end(INTERNAL_ERROR, f"the connection failed; {WHAT_TO_DO}")


def _numbers(sessions: Iterable[Session]) -> list[int]:
    return [session.number for session in sessions]
