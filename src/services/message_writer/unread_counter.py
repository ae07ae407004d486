"""Counts every message of the log as unread, once and in the order of the log, and begins and ends memberships."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Final

from prometheus_client import Counter, Gauge

from fanout import machine
from fanout.errors import InvalidEvent
from fanout.events import MemberJoined, MemberLeft, decode_member_event
from fanout.ports.log import Log, StoredEvent
from fanout.ports.messages import LogPlace
from fanout.ports.unread import CountedMessage, UnreadCounts
from fanout.streams import MESSAGES, META, UNREAD_COUNTER
from fanout.subjects import channel_of
from services.runtime.channel_messages import counted_message
from services.runtime.consumer import Consumption, running_consumer
from services.runtime.read_positions import ReadPositions

MESSAGES_COUNTED: Final = Counter(
    "fanout_unread_messages_counted_total", "Messages that this process counted as unread"
)
LAG: Final = Gauge(
    "fanout_unread_lag_seconds", "Age of the newest message that this process counted, when it was counted"
)

_READ_AT_ONCE: Final = 1_000
_CHANGED_AT_ONCE: Final = 25


class UnreadCounter:
    """The handler of the durable consumer `unread-counter` of MESSAGES.

    The store keeps the position up to which everything is counted. So the order in which the consumer delivers does not
    matter: a batch that does not follow that position without a gap is read from the log.

    Args:
        events: the log.
        counts: the store.
    """

    def __init__(self, events: Log, counts: UnreadCounts) -> None:
        self._log = events
        self._counts = counts
        self._place: int | None = None
        """The store's position when it was last known. It may be further, or back after a loss."""

    async def handle(self, messages: Sequence[CountedMessage], _newest: StoredEvent) -> None:
        """Count messages, and those before them that the store lacks.

        Raises:
            Unavailable: the store or the log cannot be reached.
        """
        place = await self._known_place() if self._place is None else self._place
        fresh = sorted(message for message in messages if message.seq > place)
        while fresh and place < fresh[-1].seq:
            chosen = fresh if _follow(place, fresh) else await self._read(place, fresh[-1].seq)
            if not chosen:
                break
            place = await self._count(chosen, place)
            fresh = [message for message in fresh if message.seq > place]
        self._place = place

    async def kept_place(self) -> LogPlace | None:
        """The newest counted event, for the comparison with the log."""
        place = await self._counts.place()
        return place if place is not None and place.stored_ns else None

    async def _known_place(self) -> int:
        place = await self._counts.place()
        # A new or emptied store begins where the workers' acknowledgements end.
        return await self._log.acknowledged(MESSAGES, UNREAD_COUNTER) if place is None else place.seq

    async def _read(self, after: int, upto: int) -> list[CountedMessage]:
        found: list[CountedMessage] = []
        async for event in self._log.read(MESSAGES, after=after, upto=upto):
            try:
                found.append(counted_message(event))
            except InvalidEvent:
                continue  # the worker that it was delivered to dead-letters it
            if len(found) == _READ_AT_ONCE:
                break
        return found

    async def _count(self, messages: Sequence[CountedMessage], after: int) -> int:
        place = await self._counts.count(messages, after=after)
        MESSAGES_COUNTED.inc(sum(message.seq <= place for message in messages))
        if messages[-1].stored_ns:
            LAG.set(max(0.0, machine.wall_s() - messages[-1].stored_ns / 1e9))
        return place


class MembershipCounter:
    """The handler of the durable consumer `unread-counter` of META.

    Args:
        counts: the store.
        read_positions: compute the counts at the position where a membership begins.
    """

    def __init__(self, counts: UnreadCounts, read_positions: ReadPositions) -> None:
        self._counts = counts
        self._read_positions = read_positions

    def decode(self, event: StoredEvent) -> MemberJoined | MemberLeft:
        """The membership change of an event.

        Raises:
            InvalidEvent: it is none.
        """
        return decode_member_event(event.payload, channel_of(event.subject))

    async def handle(self, changes: Sequence[MemberJoined | MemberLeft], _newest: StoredEvent) -> None:
        """Begin and end memberships.

        Raises:
            Unavailable: the store or the log cannot be reached, or the counter is far behind.
        """
        for start in range(0, len(changes), _CHANGED_AT_ONCE):
            some = changes[start : start + _CHANGED_AT_ONCE]
            await asyncio.gather(*map(self._apply, some))  # their versions order changes of the same membership

    async def _apply(self, change: MemberJoined | MemberLeft) -> None:
        if isinstance(change, MemberLeft):
            await self._counts.left(change.user_id, change.channel_id, change.version)
            return
        (state,) = await self._counts.states(change.user_id, [change.channel_id])
        seq = change.messages_seq or 0
        position = await self._read_positions.at_join(change.user_id, change.channel_id, seq, state)
        await self._counts.joined(change.user_id, change.channel_id, change.version, position)
        await self._restore_mentions(change.user_id, change.channel_id, seq)

    async def _restore_mentions(self, user_id: str, channel_id: str, since: int) -> None:
        """Count the mentions of a new member that were dropped, because their messages were counted before the join.

        The counter of messages does not wait for changes of memberships. It takes a user who joins again for one who
        has left until the event of the join is handled, and the event of the leave ends all mentions before it.
        """
        tried = -1
        while True:
            (state,) = await self._counts.states(user_id, [channel_id])
            pointer, place = state.pointer, state.place
            if not max(since, tried + 1) <= pointer.seq < place:
                return  # nothing was counted since, or the membership has ended: else a pointer only rises
            mentions = await self._read_positions.mentions(user_id, channel_id, pointer.seq, place)
            if len(mentions) <= state.mentions or await self._counts.correct(user_id, channel_id, pointer, mentions):
                return
            tried = pointer.seq


@asynccontextmanager
async def running_unread_counter(
    events: Log, counts: UnreadCounts, read_positions: ReadPositions, on_failure: Callable[[BaseException], None]
) -> AsyncIterator[None]:
    """Count messages, and follow memberships, for the length of the context.

    Args:
        events: the log.
        counts: the store.
        read_positions: compute the counts at the position where a membership begins.
        on_failure: is called with an error that ends the counter.
    """
    counter, memberships = UnreadCounter(events, counts), MembershipCounter(counts, read_positions)
    messages = Consumption(MESSAGES, UNREAD_COUNTER, counted_message, counter.handle, counter.kept_place)
    changes = Consumption(META, UNREAD_COUNTER, memberships.decode, memberships.handle)
    async with running_consumer(messages, events, on_failure), running_consumer(changes, events, on_failure):
        yield


def _follow(place: int, messages: Sequence[CountedMessage]) -> bool:
    """Whether there can be no message between the place and the first one, or between two of them."""
    return all(later == earlier + 1 for earlier, later in pairwise([place, *(message.seq for message in messages)]))
