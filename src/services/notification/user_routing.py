"""The routing of users to this instance: every worker is to know who is here, and to confirm it.

A worker that does not confirm in time may lack its connection to the presence store or to the membership store. The
user is admitted all the same, or one such worker would keep everybody out. What the user misses until then leaves no
gap in a lane, because the worker does not know that the instance needs it. So the clients are told to read their
channels again when the worker confirms, and before that no heartbeat says that anything new was delivered.
"""

import asyncio
from functools import partial

import structlog

from fanout.ports.memberships import Memberships
from services.notification.inbox import Inbox
from services.notification.metrics import ROUTING_UNCONFIRMED, USERS_UNCONFIRMED
from services.notification.registry import Registry
from services.notification.routing_barrier import RoutingBarrier
from services.notification.server_frames import server_frame
from services.notification.subscribing import subscribe
from services.runtime.health import Degraded
from services.runtime.tasks import Tasks, retry_forever

log = structlog.get_logger(__name__)


class UserRouting:
    """Announces the users who come and go, and waits for the confirmations that did not come in time.

    Args:
        registry: has the sessions.
        inbox: says how far delivery has come.
        routing_barrier: announces the users again.
        memberships: the store, from which the channels of a session are loaded again.
        tasks: runs the waiting.
    """

    def __init__(
        self,
        registry: Registry,
        inbox: Inbox,
        routing_barrier: RoutingBarrier,
        memberships: Memberships,
        tasks: Tasks,
    ) -> None:
        self._registry = registry
        self._inbox = inbox
        self._routing_barrier = routing_barrier
        self._memberships = memberships
        self._tasks = tasks
        self._upto: dict[str, int] = {}
        """By user: the seq up to which everything was delivered when the user was admitted."""
        self._waiting: dict[str, asyncio.Task[None]] = {}

    async def announce_arrival(self, user_id: str) -> None:
        """Announce a user's first connection here. Returns when the workers have confirmed it, or after some seconds.

        Raises:
            Unavailable: the presence store does not answer.
        """
        if await self._routing_barrier.announce_until_confirmed(user_id):
            return
        ROUTING_UNCONFIRMED.inc()
        log.warning("user admitted before every worker confirmed the routing", user_id=user_id)
        self._upto[user_id] = self._inbox.delivered_upto()
        self._waiting[user_id] = self._tasks.start(self._confirm(user_id), "confirming routing late")
        USERS_UNCONFIRMED.set(len(self._upto))

    def forget(self, user_id: str) -> None:
        """Wait no more for the confirmations of a user whose last session has ended."""
        if (waiting := self._waiting.pop(user_id, None)) is not None:
            waiting.cancel()
            self._end(user_id)

    async def announce_departure(self, user_id: str) -> None:
        """Announce that a user's last connection here has gone.

        Raises:
            Unavailable: the presence store does not answer.
        """
        await self._routing_barrier.announce_departure(user_id)

    def delivered_upto(self, user_id: str) -> int:
        """The seq of MESSAGES up to which every event that concerns the user's clients was delivered."""
        upto = self._inbox.delivered_upto()
        return min(upto, self._upto.get(user_id, upto))

    async def check(self) -> None:
        """Return if every user is confirmed.

        Raises:
            Degraded: some are not.
        """
        if self._upto:
            raise Degraded(f"fan-out workers have not confirmed {len(self._upto)} users")

    async def _confirm(self, user_id: str) -> None:
        announce = partial(self._routing_barrier.announce_until_confirmed, user_id)
        while not await retry_forever(announce, "announcing a user again"):
            pass
        for session in self._registry.sessions_of(user_id):
            again = partial(subscribe, session, self._registry, self._inbox, self._memberships)
            await retry_forever(again, "loading memberships again")
            refresh = server_frame("full_refresh_required", tier=4, reason="gap")
            self._registry.write_queue.queue(session, refresh)
        log.info("routing is confirmed late; the clients read their channels again", user_id=user_id)
        self._waiting.pop(user_id, None)
        self._end(user_id)

    def _end(self, user_id: str) -> None:
        self._upto.pop(user_id, None)
        USERS_UNCONFIRMED.set(len(self._upto))
