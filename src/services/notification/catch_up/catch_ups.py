"""The catch-ups of an instance: each session is either live from the log's end on, or gets first what it missed."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Final, NamedTuple

import structlog

from fanout import Unavailable
from fanout.error_codes import CloseCode
from fanout.ports.log import Log, Reset
from fanout.ports.socket import SocketClosed
from fanout.streams import REPLAYED_STREAM
from services.notification.catch_up.absence import Absence, ResumePoint
from services.notification.catch_up.horizons import Horizons
from services.notification.catch_up.log_end import LogEnd
from services.notification.catch_up.own_memberships import OwnMemberships
from services.notification.catch_up.replay import ReplaySources
from services.notification.catch_up.replayed_log import ReplayedLog
from services.notification.catch_up.tier_choice import REPLAY, TIER_BOUNDS_S, TierChoice
from services.notification.catch_up.tiers import Tier, Tiers
from services.notification.inbox import Inbox
from services.notification.refusals import not_now
from services.notification.registry import Registry
from services.notification.session import Session
from services.notification.user_routing import UserRouting
from services.runtime.tasks import Tasks, periodic

log = structlog.get_logger(__name__)

MARGIN_S: Final = 30.0
"""Seconds before the time since which a client was away that are replayed too. A client that says no point may get
messages twice."""
TIDY_EVERY_S: Final = 30.0
UNCONFIRMED: Final = "unconfirmed"
"""Stands in `auth.ok` for the identity of the log while a worker may not route to the client. No log has it. A client
that resumes from a point of such a connection may lack messages before that point, so it is caught up by no replay."""


class Start(NamedTuple):
    """From where a client gets messages over its connection, as `auth.ok` says it."""

    point: ResumePoint
    log: str


class CatchUps:
    """Gives sessions what they missed.

    Call `enter`, `begin` and `open` in this order for a new session. Read its frames within `beside`.

    Args:
        registry: has the sessions.
        inbox: says when memberships change.
        user_routing: says to whom the workers route.
        events: the log.
        tasks: runs the catch-ups.
        tiers: what clients get in the tiers that are neither the replay nor the full refresh.
        bounds_s: the bounds of the tiers, in seconds.
    """

    def __init__(
        self,
        registry: Registry,
        inbox: Inbox,
        user_routing: UserRouting,
        events: Log,
        tasks: Tasks,
        *,
        tiers: Mapping[int, Tier] = MappingProxyType({}),
        bounds_s: tuple[float, float, float] = TIER_BOUNDS_S,
    ) -> None:
        self._registry = registry
        self._user_routing = user_routing
        self._log = events
        self._tasks = tasks
        self._kept_s = bounds_s[0] + 2 * MARGIN_S
        self._end = LogEnd(events, registry)
        self._horizons = Horizons(events)
        self._choice = TierChoice(self._horizons, bounds_s=bounds_s)
        self._replayed = ReplayedLog(events, registry)
        self._memberships = OwnMemberships(events, kept_s=self._kept_s)
        sources = ReplaySources(registry.write_queue, self._replayed, self._memberships, self._end)
        self._tiers = Tiers(inbox, sources, self._choice, events.partitions, tiers)

    def start(self) -> None:
        """Hear of a log that goes back, and give memory back when no client was away for a while."""
        self._log.on_reset(self.hear_reset)
        self._tasks.start(periodic(TIDY_EVERY_S, self._tidy, "tidying up the replayed log"), "tidying up")

    def hear_reset(self, reset: Reset) -> None:
        """Handle the news that a stream went back."""
        self._replayed.hear_reset(reset)
        self._memberships.hear_reset(reset)

    def enter(self, session: Session) -> None:
        """Keep live frames from a session that is in the registry now and reads no channel yet."""
        self._registry.write_queue.catch_up(session)

    async def begin(self, session: Session) -> Start:
        """Find the point from which a session gets messages. The workers route to it, and it reads its channels.

        Raises:
            Unavailable: the log does not answer.
        """
        if session.absence is None:
            point = ResumePoint(await self._end.held(session))
        else:
            session.resumes_from = await self._accepted(session.absence)
            point = session.resumes_from or ResumePoint(0)
        session.given = point.seq
        is_confirmed = self._user_routing.is_confirmed(session.user_id)
        return Start(point, self._log.numbering(REPLAYED_STREAM).identity if is_confirmed else UNCONFIRMED)

    def open(self, session: Session, first: bytes) -> None:
        """Write the first frame. A client that was not away is live from then on."""
        self._registry.write_queue.open(session, first)
        if session.absence is None:
            self._tiers.go_live(session, session.given)

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

    async def _accepted(self, absence: Absence) -> ResumePoint | None:
        """The point from which a client can be caught up by the log; None if there is none."""
        end = await self._end.now()
        if absence.point is not None:
            numbering, partitions = self._log.numbering(REPLAYED_STREAM), self._log.partitions
            return absence.point if absence.point.is_in(numbering, partitions=partitions, end=end) else None
        since = self._choice.away_since(absence)
        if since is None or self._choice.by_clock(since) != REPLAY:
            return None
        return ResumePoint(await self._horizons.seq_at(since - MARGIN_S))

    async def _run(self, session: Session) -> None:
        try:
            await self._tiers.catch_up(session)
        except SocketClosed:
            pass
        except Unavailable as error:
            log.warning("client cannot be caught up now", user_id=session.user_id, reason=str(error))
            refusal = not_now("a store is away", "store")
            session.end(refusal.code, str(refusal))
        except Exception:  # a client is told, and the others are served
            log.exception("catch-up failed", user_id=session.user_id, session_id=session.session_id)
            session.end(CloseCode.INTERNAL_ERROR, "the catch-up failed; reconnect")

    async def _tidy(self) -> None:
        if not self._replayed.is_empty:
            self._replayed.forget(await self._horizons.seq_ago(self._kept_s))
