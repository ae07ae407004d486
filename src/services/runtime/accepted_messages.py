"""Looking up messages that were accepted, also those that the message writer has not stored yet.

The store is asked first. If it does not have the message, the end of the log that is not stored yet is searched. What
was read of that end is remembered for the next search, so a process reads each event of it once, however many messages
are looked up while the writer is behind.
"""

import asyncio
from collections import OrderedDict, defaultdict
from typing import Final

from fanout import partition_of
from fanout.errors import InvalidEvent, Unavailable
from fanout.events import decode_message_event
from fanout.ids import is_message_id
from fanout.ports.log import Log, StoredEvent
from fanout.ports.messages import IndexEntry, Messages, Position
from fanout.streams import MESSAGE_WRITER, MESSAGES
from fanout.subjects import channel_of

MAX_TAIL: Final = 10_000
"""Events of a partition that are searched for a message that is not stored yet."""


class AcceptedMessages:
    """Finds accepted messages by their ids.

    Args:
        messages: the store that the message writer fills.
        events: the log, which also holds what the writer has not stored yet.
    """

    def __init__(self, messages: Messages, events: Log) -> None:
        self._messages = messages
        self._log = events
        self._tails: defaultdict[int | None, _Tail] = defaultdict(lambda: _Tail(events))

    async def find(self, message_id: str, channel_id: str | None = None) -> IndexEntry | None:
        """Find a message that was accepted before this call.

        Args:
            message_id: its id.
            channel_id: the channel that it is of, if that is known: then one partition of the log is searched.

        Returns:
            where it is, of whatever channel; None if neither the store nor the log has it.

        Raises:
            Unavailable: the store or the log cannot be read, or the writer is too far behind to search what it has to
                store.
        """
        if not is_message_id(message_id):
            return None
        return await self._messages.index_entry(message_id) or await self._find_unstored(message_id, channel_id)

    async def _find_unstored(self, message_id: str, channel_id: str | None) -> IndexEntry | None:
        stored = await self._log.acknowledged(MESSAGES, MESSAGE_WRITER)
        # Once more: what is below `stored` may have been stored after the first look, and the log is not read there.
        if (entry := await self._messages.index_entry(message_id)) is not None:
            return entry
        part = None if channel_id is None else partition_of(channel_id, self._log.partitions)
        return await self._tails[part].find(message_id, stored, part)


class _Tail:
    """The messages of one partition, or of all, that are not stored yet."""

    def __init__(self, events: Log) -> None:
        self._log = events
        self._entries: OrderedDict[str, IndexEntry] = OrderedDict()
        self._read_upto = 0
        self._lock = asyncio.Lock()

    async def find(self, message_id: str, stored: int, part: int | None) -> IndexEntry | None:
        async with self._lock:
            self._forget(stored)
            if (entry := self._entries.get(message_id)) is None:
                await self._read(part)
                entry = self._entries.get(message_id)
        if entry is None and len(self._entries) >= MAX_TAIL:
            raise Unavailable("the message writer is behind, and the message may not be stored yet; try again")
        return entry

    def _forget(self, stored: int) -> None:
        """Forget what is stored by now."""
        while self._entries and next(iter(self._entries.values())).position.seq <= stored:
            self._entries.popitem(last=False)
        self._read_upto = max(self._read_upto, stored)

    async def _read(self, part: int | None) -> None:
        """Read on to the end of the log, or until there is no room for more."""
        upto = await self._log.last_seq(MESSAGES)
        if upto <= self._read_upto or len(self._entries) >= MAX_TAIL:
            return
        async for event in self._log.read(MESSAGES, after=self._read_upto, upto=upto, part=part):
            if (entry := _entry(event)) is not None:
                self._entries[entry.position.message_id] = entry
                self._entries.move_to_end(entry.position.message_id)  # it may have moved, where the log went back
            self._read_upto = event.seq
            if len(self._entries) >= MAX_TAIL:
                return
        self._read_upto = upto


def _entry(event: StoredEvent) -> IndexEntry | None:
    channel_id = channel_of(event.subject)
    try:
        message = decode_message_event(event.payload, channel_id)
    except InvalidEvent:
        return None
    return IndexEntry(channel_id, Position(event.seq, message.message_id), message.thread_id, message.sender_id)
