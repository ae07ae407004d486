"""The messages of a channel in a range of the log, from the message store and, where it lacks them, from the log."""

from collections.abc import AsyncIterator
from typing import Final

from fanout import partition_of
from fanout.errors import InvalidEvent, Unavailable
from fanout.events import Message, decode_message_event
from fanout.ports.log import Log, StoredEvent
from fanout.ports.messages import Messages, Position
from fanout.ports.unread import CountedMessage
from fanout.streams import MESSAGES
from fanout.subjects import channel_of
from services.runtime.accepted_messages import MAX_TAIL
from services.runtime.positions import Positions

_PAGE: Final = 500


def counted_message(event: StoredEvent) -> CountedMessage:
    """The message of an event of MESSAGES, as unread counts need to know it.

    Raises:
        InvalidEvent: it is no message event.
    """
    message = decode_message_event(event.payload, channel_of(event.subject))
    return _counted(message, event.seq, stored_ns=event.stored_ns)


class ChannelMessages:
    """Reads ranges of channels.

    Args:
        messages: the message store.
        events: the log.
        positions: knows up to where the message store has every message.
    """

    def __init__(self, messages: Messages, events: Log, positions: Positions) -> None:
        self._messages = messages
        self._log = events
        self._positions = positions

    async def check(self) -> None:
        """Return when the message store answers.

        Raises:
            Unavailable: it does not.
        """
        await self._messages.ping()

    async def between(self, channel_id: str, after: int, upto: int) -> AsyncIterator[CountedMessage]:
        """The messages of a channel in a range, in the order of the log.

        Replies that are in their threads alone are among those that the store does not have yet.

        Args:
            channel_id: the channel.
            after: the range begins after this `seq`.
            upto: the last `seq` of the range.

        Raises:
            Unavailable: the store or the log cannot be read, or the message writer is too far behind.
        """
        if upto <= after:
            return
        stored = await self._positions.stored(upto)
        async for message in self._in_store(channel_id, after, min(upto, stored)):
            yield message
        async for message in self.in_log(channel_id, max(after, stored), upto):
            yield message

    async def newest(self, channel_id: str, upto: int) -> str:
        """The id of the newest message of a channel up to a position; empty if there is none.

        Args:
            channel_id: the channel.
            upto: the last `seq` that counts.

        Raises:
            Unavailable: the store or the log cannot be read, or the message writer is too far behind.
        """
        stored = min(upto, await self._positions.stored(upto))
        found = [message async for message in self.in_log(channel_id, stored, upto) if message.in_channel]
        if found:
            return found[-1].message_id
        page = await self._messages.history(channel_id, before=Position(stored + 1), limit=1)
        return page.messages[0].message_id if page.messages else ""

    async def in_log(self, channel_id: str, after: int, upto: int) -> AsyncIterator[CountedMessage]:
        """As `between`, from the log alone, which must still hold the range.

        Raises:
            Unavailable: the log cannot be read, or the range is too long.
        """
        if upto <= after:
            return
        searched = 0
        part = partition_of(channel_id, self._log.partitions)
        async for event in self._log.read(MESSAGES, after=after, upto=upto, part=part):
            searched += 1
            if searched > MAX_TAIL:
                raise Unavailable("the readers of the log are behind; try again")
            if channel_of(event.subject) == channel_id and (message := _valid(event)) is not None:
                yield message

    async def _in_store(self, channel_id: str, after: int, upto: int) -> AsyncIterator[CountedMessage]:
        start: Position | None = Position(after + 1)  # below every message of the next `seq`
        while start is not None and start.seq <= upto:
            page = await self._messages.history(channel_id, after=start, limit=_PAGE)
            for message in reversed(page.messages):
                if message.seq <= upto:
                    yield _counted(message, message.seq)
            newest = page.messages[0] if page.messages else None
            has_more = newest is not None and page.next_seq is not None
            start = Position(newest.seq, newest.message_id) if newest is not None and has_more else None


def _valid(event: StoredEvent) -> CountedMessage | None:
    try:
        return counted_message(event)
    except InvalidEvent:
        return None


def _counted(message: Message, seq: int, *, stored_ns: int = 0) -> CountedMessage:
    others = dict.fromkeys(user for user in message.mentions or () if user != message.sender_id)
    return CountedMessage(
        seq,
        message.channel_id,
        message.message_id,
        message.sender_id,
        tuple(others),
        not message.is_only_in_thread,
        stored_ns,
    )
