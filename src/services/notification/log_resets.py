"""After the log went back, this asks clients to refresh, and loads memberships again. Contract section 4."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from fanout import machine
from fanout.log_record import REPUBLISHED_S
from fanout.ports.log import Reset
from fanout.ports.memberships import Memberships
from fanout.streams import STREAMS
from services.notification.inbox import Inbox
from services.notification.metrics import LOG_RESETS
from services.notification.registry import Registry
from services.notification.server_frames import server_frame
from services.notification.session import Session
from services.notification.subscribing import subscribe
from services.runtime.tasks import Tasks, retry_forever

log = structlog.get_logger(__name__)

SPREAD_MS: Final = 30_000
"""Clients refresh at a random time within so many milliseconds, not all at once."""
NOTIFIED_AT_ONCE: Final = 500
"""The number of sessions that get the frame before the event loop continues."""


class LogResets:
    """Asks each client to refresh, and loads the channels of each session if the log has lost membership changes.

    Sockets stay open. Events that the log has lost are not delivered; those accepted since are.
    """

    def __init__(
        self,
        registry: Registry,
        memberships: Memberships,
        inbox: Inbox,
        tasks: Tasks,
        *,
        clock: Callable[[], float] = machine.wall_s,
    ) -> None:
        self._registry = registry
        self._memberships = memberships
        self._inbox = inbox
        self._tasks = tasks
        self._clock = clock

    def hear(self, reset: Reset) -> None:
        """Handle the news that a stream went back; to be given to `Log.on_reset`."""
        spec = STREAMS[reset.stream]
        if not spec.in_inbox:
            return
        LOG_RESETS.labels(reset.stream).inc()
        self._tasks.start(self._notify_clients(), "notifying clients that the log went back")
        if spec.changes_memberships and self._clock() - reset.survived_ns / 1e9 > REPUBLISHED_S:
            self._tasks.start(self._load_again(), "loading memberships again")

    async def _notify_clients(self) -> None:
        now = machine.monotonic_s()
        for number, session in enumerate(self._registry.sessions(), 1):
            if session.refreshes_at <= now:  # one that is still to come reads after this loss, too
                self._tell(session, now)
            if number % NOTIFIED_AT_ONCE == 0:
                await asyncio.sleep(0)

    def _tell(self, session: Session, now: float) -> None:
        after_ms = machine.random_below(SPREAD_MS)
        session.refreshes_at = now + after_ms / 1_000
        frame = server_frame("full_refresh_required", tier=4, reason="log_reset", after_ms=after_ms)
        self._registry.write_queue.push(session, frame)

    async def _load_again(self) -> None:
        """Load memberships from the store: the log gets recent changes again (`REPUBLISHED_S`), and no older ones."""
        for session in self._registry.sessions():
            if session.ending is None:
                again = partial(subscribe, session, self._registry, self._inbox, self._memberships)
                await retry_forever(again, "loading memberships again")
        log.info("memberships loaded again", sessions=len(self._registry))
