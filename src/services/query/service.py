"""The query service: it handles the calls that only read. It uses only ports."""

import asyncio

from fanout import machine
from fanout.api.history import MAX_PAGE_BYTES, History, HistoryRequest
from fanout.api.realtime import NoInstance, RealtimeAddress
from fanout.api.threads import Replies, RepliesRequest
from fanout.error_codes import UNKNOWN_THREAD
from fanout.errors import CallRejected
from fanout.events import StoredMessage
from fanout.ports.log import Log
from fanout.ports.messages import Messages, Page, Position
from fanout.ports.presence import Lease, Leases
from services.query.cursors import Cursors, Direction, Scope, Start
from services.query.reply_counts import ReplyCounts
from services.runtime.accepted_messages import AcceptedMessages
from services.runtime.membership_cache import MembershipCache
from services.runtime.positions import Positions

HISTORY = "channels.history"
REPLIES = "threads.replies"


class QueryService:
    """Handles the calls that only read: those of `fanout.api.history`, `fanout.api.threads` and `fanout.api.realtime`.

    Args:
        log: knows how far the message writer has come, and holds the messages that are not stored yet.
        cache: says who may read which channel.
        messages: the message store.
        leases: the leases of the notification instances.
    """

    def __init__(self, log: Log, cache: MembershipCache, messages: Messages, leases: Leases) -> None:
        self._cache = cache
        self._messages = messages
        self._leases = leases
        self._accepted = AcceptedMessages(messages, log)
        self._positions = Positions(log, self._accepted)
        self._counts = ReplyCounts(messages)
        self._cursors = Cursors(messages)

    async def history(self, user_id: str, request: HistoryRequest) -> History:
        """A page of a channel; see `HistoryCalls.history`."""
        await self._cache.check(request.channel, user_id)
        scope = Scope(user_id, HISTORY, request.channel)
        ends = await self._positions.ends()  # before the store is read: the page holds at least that
        start = await self._start(scope, request)
        page = await self._messages.history(
            request.channel,
            before=start.position if start.direction == "before" else None,
            after=start.position if start.direction == "after" else None,
            limit=request.limit,
            max_bytes=MAX_PAGE_BYTES,
        )
        upto = _complete_upto(page, start, ends.stored)
        last = page.messages[-1 if start.direction == "before" else 0] if page.messages else None
        return History(page.messages, upto, ends.newest, await self._next(scope, page, last, start.direction, upto))

    async def replies(self, user_id: str, request: RepliesRequest) -> Replies:
        """A page of a thread; see `ThreadCalls.replies`."""
        root = await self._accepted.find(request.thread_id)
        if root is None or root.thread_id is not None:
            raise CallRejected(UNKNOWN_THREAD)
        await self._cache.check(root.channel_id, user_id)
        scope = Scope(user_id, REPLIES, request.thread_id)
        ends = await self._positions.ends()  # before the store is read: the page holds at least that
        start = Start("after", None) if request.cursor is None else await self._cursors.take(scope, request.cursor)
        page, count = await asyncio.gather(
            self._messages.replies(
                request.thread_id, after=start.position, limit=request.limit, max_bytes=MAX_PAGE_BYTES
            ),
            self._counts.count(request.thread_id, ends.stored),
        )
        upto = _complete_upto(page, start, ends.stored)
        last = page.messages[-1] if page.messages else None
        cursor = await self._next(scope, page, last, start.direction, upto)
        return Replies(page.messages, count, upto, ends.newest, cursor)

    async def connect(self) -> RealtimeAddress:
        """The address of the instance with most room; see `RealtimeCalls.connect`. Chance picks among equals."""
        leases = (await self._leases.leases()).values()
        roomiest = max(leases, key=lambda lease: (_room(lease), machine.random_share()), default=None)
        if roomiest is None:
            raise NoInstance("no notification instance takes connections now; try again")
        if _room(roomiest) <= 0:
            raise NoInstance("every notification instance is full; try again")
        return RealtimeAddress(roomiest.address)

    async def _start(self, scope: Scope, request: HistoryRequest) -> Start:
        if request.cursor is not None:
            return await self._cursors.take(scope, request.cursor)
        if request.before is not None:
            return Start("before", await self._position(scope, request.before, "before"))
        if request.after is not None:
            return Start("after", await self._position(scope, request.after, "after"))
        return Start("before", None)

    async def _position(self, scope: Scope, bound: str, direction: Direction) -> Position:
        if not bound.isdecimal():
            return (await self._positions.find(scope.about, bound)).position
        # Below every message of this `seq` or, to begin after it, of the next.
        return Position(int(bound) + (direction == "after"))

    async def _next(
        self, scope: Scope, page: Page, last: StoredMessage | None, direction: Direction, upto: int
    ) -> str | None:
        """The cursor behind the last message of a page, in the direction of reading; None if nothing follows."""
        if page.next_seq is None or last is None:
            return None
        gap_after = upto if direction == "after" and upto < last.seq else None
        return await self._cursors.give(scope, direction, Position(last.seq, last.message_id), gap_after)


def _complete_upto(page: Page, start: Start, stored: int) -> int:
    """The `seq` up to which the page, and those before it, miss nothing.

    A page of `after` that continues ends before its next one. Where it shows messages above one that is not stored
    yet, the pages that follow never show that one, so they claim no more than the first page did.
    """
    if start.gap_after is not None:
        return start.gap_after
    if start.direction == "after" and page.next_seq is not None:
        return min(stored, page.next_seq - 1)
    return stored


def _room(lease: Lease) -> int:
    return lease.capacity - lease.connections
