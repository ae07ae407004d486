"""The tiers: what a client gets that was away, from its first frame after `auth.ok` to `catchup.complete`."""

from collections.abc import Mapping
from typing import Final, Protocol

import structlog

from services.notification.catch_up.own_memberships import TooManyChanges, newest_of
from services.notification.catch_up.replay import Replay, ReplaySources
from services.notification.catch_up.replayed_log import LogWentBack
from services.notification.catch_up.tier_choice import FULL_REFRESH, REPLAY, TierChoice
from services.notification.inbox import Inbox
from services.notification.metrics import CATCH_UPS
from services.notification.server_frames import server_frame
from services.notification.session import Session
from services.notification.stored_delivery import MembershipChanges

log = structlog.get_logger(__name__)

MOST_REPLAYED: Final = 10_000
"""Messages that are replayed to a client. One that missed more is in the next tier."""
MOST_SCANNED: Final = 2_000_000
"""Messages of all channels among which those of a client are looked for. With more, it is in the next tier."""
TOLD_LATE_NS: Final = 5_000_000_000
"""Nanoseconds by which the change of a membership may come late to a client: a gateway that died is stood in for."""
_REFRESH: Final = server_frame("full_refresh_required", tier=FULL_REFRESH, reason="gap")


class Tier(Protocol):
    """One tier: it gives clients something before the log is replayed to them."""

    async def give(self, session: Session, end: int) -> int:
        """Write to a session what it gets, as fast as it reads.

        Args:
            session: catches up.
            end: up to where the log goes.

        Returns:
            the seq, `end` at most, from which on the client is to get the log.

        Raises:
            SocketClosed: the client has gone, or the session was ended.
            Unavailable: a store does not answer.
        """
        ...


class Tiers:
    """Catches sessions up.

    Args:
        inbox: says when memberships change.
        sources: of the replays.
        choice: chooses the tier.
        partitions: of the log.
        between: the tiers between the replay and the full refresh. In one that is left out, clients refresh.
    """

    def __init__(
        self, inbox: Inbox, sources: ReplaySources, choice: TierChoice, partitions: int, between: Mapping[int, Tier]
    ) -> None:
        self._inbox = inbox
        self._sources = sources
        self._choice = choice
        self._partitions = partitions
        self._between = between
        self._write_queue = sources.write_queue

    async def catch_up(self, session: Session) -> None:
        """Give a session what it missed, and let it be live.

        Raises:
            SocketClosed: the client has gone, or the session was ended.
            Unavailable: the log or another store does not answer.
        """
        with self._inbox.watching(session.user_id) as applied:
            try:
                await self._catch_up(session, applied)
            except LogWentBack:
                await self._refresh(session, "log_reset")
            except TooManyChanges:
                await self._refresh(session, "memberships")

    def go_live(self, session: Session, end: int, complete: bytes | None = None) -> None:
        """Let a session be live that has everything up to a seq, and holds what follows."""
        if not self._write_queue.go_live(session, end, complete):
            log.info("a client lacks events that came during its catch-up", user_id=session.user_id)
            self._write_queue.push(session, _REFRESH)

    async def _catch_up(self, session: Session, applied: MembershipChanges) -> None:
        tier, cause = await self._tier_of(session)
        if tier == REPLAY and session.resumes_from is not None:
            points = [session.resumes_from.of(part) for part in range(self._partitions)]
            replay = Replay(self._sources, session, points, applied)
            if await self._is_short(replay, min(points)):
                await self._finish(session, replay, tier, cause)
                return
            tier, cause = REPLAY + 1, "many"
        if (between := self._between.get(tier)) is None:
            await self._refresh(session, cause)
            return
        start = await between.give(session, await self._sources.end.now())
        replay = Replay(self._sources, session, [start] * self._partitions, applied)
        await self._finish(session, replay, tier, cause)

    async def _tier_of(self, session: Session) -> tuple[int, str]:
        """The tier, and for the metrics its cause."""
        absence, point = session.absence, session.resumes_from
        if absence is None or point is None:
            since = None if absence is None else self._choice.away_since(absence)
            was_given = absence is not None and absence.point is not None
            return max(self._choice.by_clock(since), REPLAY + 1), "point" if was_given else "gap"
        if absence.point is None:
            return REPLAY, "gap"
        return await self._choice.by_log(point.lowest(self._partitions)), "gap"

    async def _is_short(self, replay: Replay, after: int) -> bool:
        end = await self._sources.end.now()
        return end - after <= MOST_SCANNED and await replay.count(end) <= MOST_REPLAYED

    async def _finish(self, session: Session, replay: Replay, tier: int, cause: str) -> None:
        changed_since = await self._connected_at(session, replay)
        end = await replay.until_held()
        for change in newest_of(replay.changes, changed_since):
            self._write_queue.push(session, change.frame)
        self._complete(session, end, tier, cause)

    async def _connected_at(self, session: Session, replay: Replay) -> int:
        """A time at which the client was connected, in nanoseconds since 1970; asked for where it is needed."""
        if session.resumes_from is None or not replay.changes:
            return 0
        seq = session.resumes_from.lowest(self._partitions)
        return await self._sources.replayed.stored_at(seq) - TOLD_LATE_NS

    async def _refresh(self, session: Session, cause: str) -> None:
        end = await self._sources.end.held(session)
        self._write_queue.push(session, _REFRESH)
        self._complete(session, end, FULL_REFRESH, cause)

    def _complete(self, session: Session, end: int, tier: int, cause: str) -> None:
        CATCH_UPS.labels(str(tier), cause).inc()
        log.debug("client caught up", user_id=session.user_id, tier=tier, cause=cause, upto=end)
        self.go_live(session, end, server_frame("catchup.complete", tier=tier, last_event_seq=end))
