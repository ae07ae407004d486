"""What clients are told, and what is loaded again, when the log went back. Contract section 4."""

import asyncio
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from fanout.log_record import RETOLD_S
from fanout.ports.log import Reset
from fanout.ports.memberships import Memberships
from fanout.streams import STREAMS
from services.notification.frames import server_frame
from services.notification.inbox import Inbox
from services.notification.metrics import LOG_RESETS
from services.notification.registry import Registry
from services.notification.subscribing import subscribe
from services.runtime.tasks import Tasks, retry_forever

log = structlog.get_logger(__name__)

SPREAD_MS: Final = 30_000
"""Clients ask for what they lack within this time, not all at once."""
TOLD_AT_ONCE: Final = 500
"""Sessions, before the event loop gets its turn."""
JOINED_S: Final = 5.0
"""Streams that went back at about the same time are one reason to refresh."""


class LogResets:
    """Has each client refresh, and each list of channels loaded that the log can no longer keep true.

    Sockets stay open. What was lost is lost; what was accepted since is delivered as ever.
    """

    def __init__(
        self,
        registry: Registry,
        memberships: Memberships,
        inbox: Inbox,
        tasks: Tasks,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._registry = registry
        self._memberships = memberships
        self._inbox = inbox
        self._tasks = tasks
        self._clock = clock
        self._told_at = float("-inf")

    def hear(self, reset: Reset) -> None:
        """Listener of `Log.on_reset`."""
        spec = STREAMS[reset.stream]
        if not spec.in_inbox:
            return
        LOG_RESETS.labels(reset.stream).inc()
        now = self._clock()
        if now - self._told_at > JOINED_S:
            self._told_at = now
            self._tasks.start(self._tell_clients(), "telling clients that the log went back")
        if spec.changes_memberships and now - reset.survived_ns / 1e9 > RETOLD_S:
            self._tasks.start(self._load_again(), "loading memberships again")

    async def _tell_clients(self) -> None:
        for number, session in enumerate(self._registry.sessions(), 1):
            after_ms = random.randrange(SPREAD_MS)  # noqa: S311 - spreads load, guards nothing
            frame = server_frame("full_refresh_required", tier=4, reason="log_reset", after_ms=after_ms)
            self._registry.write_queue.queue(session, frame)
            if number % TOLD_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _load_again(self) -> None:
        """Changes of memberships are told again for an hour only: what lies further back comes from the store."""
        for session in self._registry.sessions():
            if session.ending is None:
                again = partial(subscribe, session, self._registry, self._inbox, self._memberships)
                await retry_forever(again, "loading memberships again")
        log.info("memberships loaded again", sessions=len(self._registry))
