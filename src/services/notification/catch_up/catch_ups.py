"""The catch-ups of an instance: each session is either live from the log's end on, or gets first what it missed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import structlog

from fanout import Unavailable
from fanout.error_codes import CloseCode
from fanout.ports.log import Log
from fanout.ports.socket import SocketClosed
from fanout.streams import REPLAYED_STREAM
from services.notification.catch_up.absence import ResumePoint
from services.notification.catch_up.log_end import LogEnd
from services.notification.metrics import CATCH_UPS
from services.notification.refusals import not_now
from services.notification.registry import Registry
from services.notification.server_frames import server_frame
from services.notification.session import Session
from services.runtime.tasks import Tasks

log = structlog.get_logger(__name__)

_REFRESH = server_frame("full_refresh_required", tier=4, reason="gap")


class Start(NamedTuple):
    """From where a client gets messages over its connection, as `auth.ok` says it."""

    point: ResumePoint
    log: str


class CatchUps:
    """Gives sessions what they missed.

    Call `enter`, `begin` and `open` in this order for a new session. Read its frames within `beside`.

    Args:
        registry: has the sessions.
        events: the log.
        tasks: runs the catch-ups.
    """

    def __init__(self, registry: Registry, events: Log, tasks: Tasks) -> None:
        self._registry = registry
        self._log = events
        self._tasks = tasks
        self._end = LogEnd(events, registry)

    def enter(self, session: Session) -> None:
        """Keep live frames from a session that is in the registry now and reads no channel yet."""
        self._registry.write_queue.catch_up(session)

    async def begin(self, session: Session) -> Start:
        """Find the point from which a session gets messages. The workers route to it, and it reads its channels.

        Raises:
            Unavailable: the log does not answer.
        """
        numbering = self._log.numbering(REPLAYED_STREAM)
        point = await self._first_point(session)
        session.given = point.seq
        return Start(point, numbering.identity)

    def open(self, session: Session, first: bytes) -> None:
        """Write the first frame. A client that was not away is live from then on."""
        self._registry.write_queue.open(session, first)
        if session.absence is None:
            self._go_live(session, session.given)

    @asynccontextmanager
    async def beside(self, session: Session) -> AsyncIterator[None]:
        """Give a session what it missed, within the context at most."""
        if session.is_live:
            yield
            return
        catching_up = self._tasks.start(self._run(session), "catching a client up")
        try:
            yield
        finally:
            await self._tasks.stop(catching_up)

    async def _run(self, session: Session) -> None:
        try:
            await self._catch_up(session)
        except SocketClosed:
            pass
        except Unavailable as error:
            log.warning("client cannot be caught up now", user_id=session.user_id, reason=str(error))
            refusal = not_now("a store is away", "store")
            session.end(refusal.code, str(refusal))
        except Exception:  # a client is told, and the others are served
            log.exception("catch-up failed", user_id=session.user_id, session_id=session.session_id)
            session.end(CloseCode.INTERNAL_ERROR, "the catch-up failed; reconnect")

    async def _first_point(self, session: Session) -> ResumePoint:
        if session.absence is None:
            return ResumePoint(await self._end.held(session))
        end, point = await self._end.now(), session.absence.point
        numbering = self._log.numbering(REPLAYED_STREAM)
        if point is None or not point.is_in(numbering, partitions=self._log.partitions, end=end):
            return ResumePoint(0)
        return point

    async def _catch_up(self, session: Session) -> None:
        end = await self._end.held(session)
        self._registry.write_queue.answer(session, _REFRESH)
        CATCH_UPS.labels("4").inc()
        self._go_live(session, end, server_frame("catchup.complete", tier=4, last_event_seq=end))

    def _go_live(self, session: Session, end: int, last: bytes | None = None) -> None:
        if not self._registry.write_queue.go_live(session, end, last):
            log.info("a client lacks events that came during its catch-up", user_id=session.user_id)
            self._registry.write_queue.queue(session, _REFRESH)
