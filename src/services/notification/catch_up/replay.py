"""A replay: one session gets the log from its points on, as fast as it reads, until it holds all that follows."""

import asyncio
from dataclasses import dataclass
from typing import Final

from services.notification.catch_up.log_end import LogEnd
from services.notification.catch_up.own_memberships import Change, OwnMemberships, spans_of
from services.notification.catch_up.replayed_log import ReplayedLog, Wanted
from services.notification.metrics import EVENTS_REPLAYED
from services.notification.session import Session
from services.notification.stored_delivery import MembershipChanges
from services.notification.write_queue import WriteQueue

BLOCK: Final = 64 * 1024
"""Bytes that are on their way to one socket at a time."""
BLOCKS_OF_BUDGET: Final = 4
"""A block is at most such a part of what may wait for a session, so that answers find room beside it."""


@dataclass(frozen=True, slots=True)
class ReplaySources:
    """The parts that the replays of an instance share."""

    write_queue: WriteQueue
    replayed: ReplayedLog
    memberships: OwnMemberships
    end: LogEnd


class Replay:
    """The replay for one session.

    Args:
        sources: of the instance.
        session: catches up.
        points: for each partition, the seq up to which the client has everything.
        applied: counts the changes of the user's memberships that the instance applies, as long as the replay lasts.
    """

    def __init__(self, sources: ReplaySources, session: Session, points: list[int], applied: MembershipChanges) -> None:
        self._sources = sources
        self._session = session
        self._points = points
        self._generation = sources.replayed.generation
        self._applied = applied
        self._seen = -1
        """How many changes were applied when the changes were read last."""
        self._changes: dict[tuple[str, int], Change] = {}
        self._after = min(points)

    @property
    def changes(self) -> list[Change]:
        """The changes of the user's memberships lately, by their versions."""
        return sorted(self._changes.values(), key=lambda change: change.version)

    async def count(self, upto: int) -> int:
        """The number of messages up to a seq that the client lacks.

        Raises:
            TooManyChanges: the changes of memberships are not known.
            LogWentBack, Unavailable: as for `ReplayedLog.next`.
        """
        return await self._sources.replayed.count(await self._wanted(), upto)

    async def until_held(self) -> int:
        """Give the client what it lacks.

        Returns:
            the log's end up to which it has everything. The session holds the live messages that follow. Nothing is
            awaited between the check of that and the return.

        Raises:
            SocketClosed: the client has gone, or the session was ended.
            TooManyChanges, LogWentBack, Unavailable: as for `count`.
        """
        await self._give_upto(await self._sources.end.now())
        while True:
            end = await self._sources.end.held(self._session)
            await self._give_upto(end)
            if self._sources.write_queue.is_holding(self._session):
                return end

    async def _give_upto(self, end: int) -> None:
        most = min(BLOCK, self._session.budget // BLOCKS_OF_BUDGET)
        while self._after < end:
            found = await self._sources.replayed.next(await self._wanted(), self._after, end, most)
            if self._applied.count != self._seen:
                continue  # it was found for other memberships
            if found.messages:
                EVENTS_REPLAYED.inc(found.messages)
                await self._sources.write_queue.replay(self._session, found.frames)
                await asyncio.sleep(0)  # a client that reads fast leaves the others their turn
            self._after = found.upto
            self._session.given = max(self._session.given, found.upto)

    async def _wanted(self) -> Wanted:
        while self._applied.count != self._seen:
            self._seen = self._applied.count
            for change in await self._sources.memberships.changes_of(self._session.user_id):
                self._changes[change.channel_id, change.version] = change
        return Wanted(self._session.user_id, self._points, spans_of(self.changes), self._generation)
