"""Positions in the log, for the history: how far the store and the log have come, and where a message is."""

import asyncio
from typing import Final, NamedTuple

import structlog

from fanout import partition_of
from fanout.error_codes import UNKNOWN_MESSAGE
from fanout.errors import CallRejected, FanoutError, InvalidEvent, Unavailable
from fanout.events import decode_message_event
from fanout.ports.log import Log, StoredEvent
from fanout.ports.messages import Messages, Position
from fanout.streams import MESSAGE_WRITER, MESSAGES
from fanout.subjects import channel_of

log = structlog.get_logger(__name__)

MAX_TAIL: Final = 10_000
"""Events of a partition that are searched for a message that is not stored yet."""

LOG_ANSWERS_WITHIN_S: Final = 2.0
"""Seconds. If the log has not answered by then, the history is answered without it."""


class Ends(NamedTuple):
    """How far the store and the log have come. Read the store after it: then the store has at least that."""

    stored: int
    """A `seq` up to which the store holds every message that the log held. It never falls: if the log does not answer,
    this is its last answer, or 0 if there was none, because stored messages stay stored."""
    newest: int | None
    """The newest `seq` that the log held after it was asked for; None if the log did not answer."""


class Positions:
    """Finds positions in the log.

    Args:
        messages: the store that the message writer fills.
        events: the log, which also holds what the writer has not stored yet.
    """

    def __init__(self, messages: Messages, events: Log) -> None:
        self._messages = messages
        self._log = events
        self._stored = 0
        self._asking: asyncio.Task[int | None] | None = None
        self._next: asyncio.Task[int | None] | None = None
        self._answered = True

    async def ends(self) -> Ends:
        """How far the store and the log have come, asked for after this call began.

        Calls share a round of requests to the log that has not begun. A round under way is of no use: the log may have
        answered it already, and a message that was stored since would be newer than its `newest`.
        """
        if self._next is None or self._next.done():
            self._next = asyncio.create_task(self._ask_after(self._asking), name="asking for the ends of the log")
        newest = await asyncio.shield(self._next)
        return Ends(self._stored, newest)

    async def stored(self, wanted: int) -> int:
        """A `seq` up to which the store holds every message, at least `wanted` if that is so.

        Args:
            wanted: the log is asked only if the store was not known to have come so far.
        """
        return self._stored if self._stored >= wanted else (await self.ends()).stored

    async def _ask_after(self, earlier: asyncio.Task[int | None] | None) -> int | None:
        """Ask once the round before is over, within the time limit in all; returns the newest `seq`."""
        try:
            async with asyncio.timeout(LOG_ANSWERS_WITHIN_S):
                if earlier is not None:
                    await asyncio.wait((earlier,))
                self._asking, self._next = self._next, None
                return await self._ask()
        except (FanoutError, TimeoutError) as error:
            if self._answered:
                log.warning("the log does not say how far the writer has come", reason=str(error) or "no answer")
            self._answered = False
            return None

    async def _ask(self) -> int:
        newest, acknowledged = await asyncio.gather(
            self._log.last_seq(MESSAGES), self._log.acknowledged(MESSAGES, MESSAGE_WRITER)
        )
        self._stored = max(self._stored, acknowledged)
        self._answered = True
        return newest

    async def locate(self, channel_id: str, message_id: str) -> Position:
        """As `find`, for a caller that has not asked how far the store has come. A stored message is one read.

        Raises:
            CallRejected, Unavailable: as `find`.
        """
        position = await self._messages.position_of(channel_id, message_id)
        return position or await self._find_in_log(channel_id, message_id, (await self.ends()).stored)

    async def find(self, channel_id: str, message_id: str, stored: int) -> Position:
        """The position of a message of a channel, from the store or, if it is not stored yet, from the log.

        Args:
            channel_id: the channel that the message must be of.
            message_id: the message to find.
            stored: `Ends.stored` of an earlier answer.

        Raises:
            CallRejected: neither holds such a message of this channel.
            Unavailable: one of them cannot be read, or the writer is too far behind to search what it has to store.
        """
        position = await self._messages.position_of(channel_id, message_id)
        return position or await self._find_in_log(channel_id, message_id, stored)

    async def _find_in_log(self, channel_id: str, message_id: str, stored: int) -> Position:
        upto = await self._log.last_seq(MESSAGES)
        searched = 0
        part = partition_of(channel_id, self._log.partitions)
        async for event in self._log.read(MESSAGES, after=stored, upto=upto, part=part):
            if _is(event, channel_id, message_id):
                return Position(event.seq, message_id)
            searched += 1
            if searched >= MAX_TAIL:
                raise Unavailable("the message writer is behind, and the message may not be stored yet; try again")
        raise CallRejected(UNKNOWN_MESSAGE)


def _is(event: StoredEvent, channel_id: str, message_id: str) -> bool:
    if channel_of(event.subject) != channel_id:
        return False
    try:
        return decode_message_event(event.payload, channel_id).message_id == message_id
    except InvalidEvent:
        return False
