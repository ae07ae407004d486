"""Follows META for the cache of membership checks, and proves again and again that it has heard every change."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from fanout import machine
from fanout.errors import InvalidEvent
from fanout.events import decode_member_event
from fanout.ports.log import Log, Reset, StoredEvent
from fanout.ports.memberships import Memberships
from fanout.streams import MEMBERSHIP_STREAM, STREAMS
from fanout.subjects import channel_of
from services.runtime.health import Degraded
from services.runtime.membership_cache import MembershipCache
from services.runtime.tasks import Tasks, periodic, retry_forever

ASK_EVERY_S: Final = 0.25
"""Seconds from one proof to the next question for the end of META."""
SILENT_AFTER_S: Final = 10.0
"""Seconds without a proof after which `/readyz` says so."""


class MembershipFollower:
    """Gives each membership change to the cache, and says up to which time all were given.

    That a reader is silent proves nothing. So the follower asks the log for the end of META; when the reader has come
    to that end, every change is known that was published before the question.

    Args:
        log: has the changes.
        cache: of this process.
        clock: monotonic seconds, the same as the cache's.
    """

    def __init__(self, log: Log, cache: MembershipCache, clock: Callable[[], float] = machine.monotonic_s) -> None:
        self._log = log
        self._cache = cache
        self._clock = clock
        self._position = -1
        self._advanced = asyncio.Event()
        self._begins = False
        """Whether the positions of META have changed: the end that the log has now may hold no event to be read."""
        self._proved_at = clock()

    def start(self, tasks: Tasks) -> None:
        """Follow META from its end."""
        tasks.start(self._follow(), "following memberships")
        tasks.start(periodic(ASK_EVERY_S, self._prove, "asking for the end of the membership changes"), "end of META")

    def hear(self, reset: Reset) -> None:
        """Handle a reset of the log, as the listener of `Log.on_reset`: what the log has lost is not heard."""
        if STREAMS[reset.stream].changes_memberships:
            self._cache.clear()
            self._begins = True
            self._advanced.set()

    async def check_ready(self) -> None:
        """Return if memberships are followed, or were until a short time ago.

        Raises:
            Degraded: each check asks the membership store.
        """
        if self._clock() - self._proved_at > SILENT_AFTER_S:
            raise Degraded("membership changes are not heard; each check of a membership asks the store")

    async def _follow(self) -> None:
        end = await retry_forever(self._end, "finding the end of the membership changes")
        tail = await retry_forever(
            lambda: self._log.tail(MEMBERSHIP_STREAM, after=end), "reading membership changes for the cache"
        )
        self._reach(end)
        try:
            while True:
                for stored in await tail.fetch():
                    self._handle(stored)
                    self._reach(stored.seq)
        finally:
            await tail.close()

    async def _end(self) -> int:
        return await self._log.last_seq(MEMBERSHIP_STREAM)

    def _handle(self, stored: StoredEvent) -> None:
        try:
            event = decode_member_event(stored.payload, channel_of(stored.subject))
        except InvalidEvent:  # the workers dead-letter it; whose membership it changed is not known
            self._cache.clear()
        else:
            self._cache.changed(event.channel_id, event.user_id)

    def _reach(self, position: int) -> None:
        self._position = max(position, self._position)
        self._advanced.set()

    async def _prove(self) -> None:
        asked = self._clock()
        end = await self._end()
        if self._begins:
            # The store holds every change that the log held up to this end, and no older answer is used any more.
            self._begins = False
            self._cache.clear()
            self._reach(end)
        while self._position < end and not self._begins:
            self._advanced.clear()
            await self._advanced.wait()
        if not self._begins:
            self._proved_at = asked
            self._cache.heard_up_to(asked)


@asynccontextmanager
async def following_memberships(
    log: Log, memberships: Memberships, on_failure: Callable[[BaseException], None]
) -> AsyncIterator[tuple[MembershipCache, MembershipFollower]]:
    """A cache of membership checks that follows META for the length of the context.

    Args:
        log: has the changes.
        memberships: the store.
        on_failure: called with an error that ends the following.
    """
    cache = MembershipCache(memberships)
    follower = MembershipFollower(log, cache)
    forget = log.on_reset(follower.hear)
    async with Tasks(on_failure) as tasks:
        follower.start(tasks)
        yield cache, follower
    forget()
    cache.clear()
