"""The routing of users to this instance: every worker is to know who is here, and to confirm it.

A worker also has to apply every membership change that a session has loaded here. Otherwise it does not route what is
posted to a channel that the client takes for one of its own.

A worker that does not confirm in time may lack its connection to the membership store. The user is admitted all the
same, or one such worker would keep everybody out. What the user misses until then leaves no gap in a lane, because the
worker does not know that the instance needs it. So the clients are told to read their channels again when the worker
confirms, and before that no heartbeat says that anything new was delivered.
"""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

import structlog

from fanout import Unavailable
from fanout.ports.log import Log
from fanout.ports.memberships import Memberships
from fanout.streams import MEMBERSHIP_STREAM
from services.notification.inbox import Inbox
from services.notification.metrics import ROUTING_UNCONFIRMED, USERS_UNCONFIRMED
from services.notification.registry import Registry
from services.notification.routing_barrier import RoutingBarrier
from services.notification.server_frames import server_frame
from services.notification.session import Session
from services.notification.subscribing import subscribe
from services.runtime.health import Degraded
from services.runtime.shared_rounds import SharedRounds
from services.runtime.tasks import Tasks, retry_forever

log = structlog.get_logger(__name__)

RELOADED_AT_ONCE: Final = 32
"""Sessions whose channels are loaded at a time: all users of an instance may be confirmed at the same moment."""
_REFRESH: Final = server_frame("full_refresh_required", tier=4, reason="gap")


@dataclass(slots=True)
class _Unconfirmed:
    upto: int
    """The seq up to which everything was delivered when the user was admitted."""
    waiting: "asyncio.Task[None]"
    again: bool = False
    """Whether the sessions are to be refreshed once more: they have something that they had not when it began."""


class _NewestChange(NamedTuple):
    """The end of META when it was asked for."""

    position: int
    is_awaited: bool
    """Whether a worker may not have applied a change up to there."""


class UserRouting:
    """Announces the users who come and go, and waits for the confirmations that did not come in time.

    Args:
        registry: has the sessions.
        inbox: says how far delivery has come.
        routing_barrier: announces the users again.
        memberships: the store, from which the channels of a session are loaded again.
        events: the log, which has the membership changes.
        tasks: runs the waiting.
    """

    def __init__(
        self,
        registry: Registry,
        inbox: Inbox,
        routing_barrier: RoutingBarrier,
        memberships: Memberships,
        events: Log,
        tasks: Tasks,
    ) -> None:
        self._registry = registry
        self._inbox = inbox
        self._routing_barrier = routing_barrier
        self._memberships = memberships
        self._tasks = tasks
        self._log = events
        self._newest_change = SharedRounds(self._ask_for_newest_change, "finding the end of the membership changes")
        self._unconfirmed: dict[str, _Unconfirmed] = {}
        self._loading = asyncio.Semaphore(RELOADED_AT_ONCE)
        inbox.on_early_join(self._hear_early_join)

    async def rebase(self) -> None:
        """Begin at the end of the streams. Call it before the first user of an instance that has none.

        Raises:
            Unavailable: the log cannot say where its streams end.
        """
        await self._inbox.rebase()

    async def announce_arrival(self, session: Session) -> None:
        """Announce a user's first connection here, and wait for the confirmations of the workers.

        It takes some seconds at most, and longer while workers say that they load the user and the client is there.
        """
        user_id = session.user_id
        is_confirmed = await self._routing_barrier.announce_until_confirmed(user_id, is_wanted=session.is_wanted)
        if not is_confirmed and not session.socket.is_closed:  # else the caller removes it before anybody else comes
            self._wait_late(user_id)

    async def await_members(self, session: Session) -> int | None:
        """Wait until the workers have applied each membership change that was published before.

        It takes as long as `announce_arrival` at most. Call it also when the session has loaded its channels, before
        the client hears that it is admitted.

        Returns:
            the position of META up to which each worker has applied the changes, and routes everything to the user;
            None if one has not. The client is told later then.
        """
        user_id = session.user_id
        try:
            change = await self._newest_change.ask()
        except Unavailable as error:
            log.warning("the log does not say how far the membership changes go", user_id=user_id, reason=str(error))
        else:
            if user_id not in self._unconfirmed and await self._is_applied(session, change):
                return change.position
        self._wait_late(user_id)
        return None

    async def _is_applied(self, session: Session, change: _NewestChange) -> bool:
        return not change.is_awaited or await self._routing_barrier.announce_until_confirmed(
            session.user_id, change.position, is_wanted=session.is_wanted
        )

    def _hear_early_join(self, user_id: str, seq: int) -> None:
        """Take a joining that was read from the log: a worker that lags would not route the channel's messages here."""
        if seq > self._routing_barrier.members_upto() and self._registry.sessions_of(user_id):
            self._wait_late(user_id)

    def _wait_late(self, user_id: str) -> None:
        if (unconfirmed := self._unconfirmed.get(user_id)) is not None:
            unconfirmed.again = True
            return
        ROUTING_UNCONFIRMED.inc()
        log.warning("a user's clients are served before every worker confirmed the routing", user_id=user_id)
        waiting = self._tasks.start(self._confirm(user_id), "confirming routing late")
        self._unconfirmed[user_id] = _Unconfirmed(self._inbox.delivered_upto(), waiting)
        self._count()

    async def forget(self, user_id: str) -> None:
        """Wait no more for the confirmations of a user whose last session has ended.

        When this returns, nothing announces the user any more: an arrival that follows the departure would stay in
        the tables of the workers.
        """
        if (unconfirmed := self._unconfirmed.pop(user_id, None)) is not None:
            self._count()
            await self._tasks.stop(unconfirmed.waiting)

    async def announce_departure(self, user_id: str) -> None:
        """Announce that a user's last connection here has gone."""
        await self._routing_barrier.announce_departure(user_id)

    def is_confirmed(self, user_id: str) -> bool:
        """Whether each worker routes everything to a user."""
        return user_id not in self._unconfirmed

    def delivered_upto(self, session: Session) -> int:
        """The seq of MESSAGES up to which every event that concerns a client was given to its connection."""
        if not session.is_live:
            return session.given
        upto = self._inbox.delivered_upto()
        unconfirmed = self._unconfirmed.get(session.user_id)
        return max(session.given, upto if unconfirmed is None else min(upto, unconfirmed.upto))

    async def check(self) -> None:
        """Return if every user is confirmed.

        Raises:
            Degraded: some are not.
        """
        if self._unconfirmed:
            raise Degraded(f"users whom not every fan-out worker has confirmed: {len(self._unconfirmed)}")

    async def _confirm(self, user_id: str) -> None:
        """Refresh the sessions of a user when the workers route everything that the sessions have loaded."""
        refreshed: list[Session] = []
        await self._routed(user_id, 0)
        while sessions := self._to_refresh(user_id, refreshed):
            self._inbox.missed_changes(user_id)
            for session in sessions:
                await self._load(session)
            if end := await self._awaited_change():
                await self._routed(user_id, end)
            for session in sessions:
                if session.ending is None:
                    self._registry.write_queue.push(session, _REFRESH)
            refreshed += sessions
        log.info("routing is confirmed late; the clients read their channels again", user_id=user_id)
        self._unconfirmed.pop(user_id, None)
        self._count()

    def _to_refresh(self, user_id: str, refreshed: list[Session]) -> list[Session]:
        unconfirmed = self._unconfirmed.get(user_id)
        if unconfirmed is not None and unconfirmed.again:
            unconfirmed.again = False
            refreshed.clear()
        return [session for session in self._registry.sessions_of(user_id) if session not in refreshed]

    async def _routed(self, user_id: str, members_upto: int) -> None:
        while not await self._routing_barrier.announce_until_confirmed(user_id, members_upto, late=True):
            # Asked for again, because the log may have lost the changes up to there.
            members_upto = members_upto and await self._awaited_change()

    async def _load(self, session: Session) -> None:
        if session.ending is None:
            again = partial(subscribe, session, self._registry, self._inbox, self._memberships)
            async with self._loading:
                await retry_forever(again, "loading memberships again")

    async def _awaited_change(self) -> int:
        """The position of the newest change that a worker may not have applied; 0 where each has applied all."""
        change = await retry_forever(self._newest_change.ask, "finding the end of the membership changes")
        return change.position if change.is_awaited else 0

    async def _ask_for_newest_change(self) -> _NewestChange:
        end, applied = await self._log.last_seq(MEMBERSHIP_STREAM), self._routing_barrier.members_upto()
        if applied >= end:
            return _NewestChange(end, is_awaited=False)
        # A log that went back may hold no event up to its end, and then no worker comes that far.
        async with aclosing(self._log.read(MEMBERSHIP_STREAM, after=int(applied), upto=end)) as events:
            return _NewestChange(end, is_awaited=await anext(events, None) is not None)

    def _count(self) -> None:
        USERS_UNCONFIRMED.set(len(self._unconfirmed))
