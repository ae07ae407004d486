"""Faults of threads, unread counts and removals, to be planted as those of `planted.py`."""

import copy
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from fanout.errors import Unavailable
from fanout.events import MemberLeft, Message, StoredMessage
from fanout.lanes import Lane
from fanout.ports.log import StoredEvent
from fanout.ports.messages import IndexEntry, LogPlace
from fanout.ports.receipts import MessageReceipt
from fanout.ports.unread import CountedMessage, ReadPosition
from fanout.streams import RECEIPTS
from services.adapters.sqlite import unread as sqlite_unread
from services.adapters.sqlite.messages import SqliteMessages
from services.adapters.sqlite.unread import SqliteUnread
from services.command.read_marker import ReadMarker
from services.command.read_receipts import ReadReceipts
from services.command.service import CommandService
from services.message_writer.unread_counter import MembershipCounter, UnreadCounter
from services.notification.gap_repair import GapRepair
from services.query.reply_counts import ReplyCounts
from services.receipt_writer.writer import ReceiptWriter
from services.runtime.accepted_messages import AcceptedMessages
from services.runtime.read_positions import ReadPositions

_MARK_READ: Final = SqliteUnread.mark_read
_WRITE: Final = SqliteMessages.write
_MOVE: Final = sqlite_unread._move
_REMOVE: Final = CommandService.remove
_MARKER: Final = ReadMarker.mark_read
_APPLY: Final = MembershipCounter._apply
_COUNT: Final = sqlite_unread._count
_HANDLE: Final = ReceiptWriter.handle
_FILL: Final = GapRepair._fill


async def _count_what_comes(self: UnreadCounter, messages: Sequence[CountedMessage], _newest: Any) -> None:
    await self._counts.count(sorted(messages), after=0)


async def _count_all(self: SqliteUnread, messages: Sequence[CountedMessage], *, after: int) -> int:
    def work(connection: sqlite3.Connection) -> int:
        for message in messages:
            _COUNT(connection, message)
        connection.execute(sqlite_unread._KEEP_PLACE, (messages[-1].seq, messages[-1].stored_ns))
        return messages[-1].seq

    return await self._database.write(work) if messages else after


async def _mark_all_read(
    self: SqliteUnread, user_id: str, channel_id: str, position: ReadPosition, *, older_mentions: int = 0
) -> bool:
    (state,) = await self.states(user_id, [channel_id])
    everything = replace(position, count=state.count, own=state.own)
    return await _MARK_READ(self, user_id, channel_id, everything, older_mentions=older_mentions)


def _move_anywhere(connection: sqlite3.Connection, key: Mapping[str, str], to: ReadPosition, older: int) -> bool:
    if to.seq < sqlite_unread._pointer(connection, key)[1]:
        connection.execute(
            sqlite_unread._MOVE, {**key, "seq": 0, "count": 0, "own": 0, "message_id": "", "read_at": ""}
        )
    return _MOVE(connection, key, to, older)


async def _mark_older_too(self: ReadMarker, user_id: str, channel_id: str, message_id: str) -> ReadPosition | None:
    marker: Any = copy.copy(self)
    marker._counts = _Unread(self._counts)
    return await _MARKER(marker, user_id, channel_id, message_id)


class _Unread:
    """An unread store whose read pointers seem to be at the beginning."""

    def __init__(self, counts: Any) -> None:
        self._counts = counts
        self.mark_read = counts.mark_read

    async def states(self, user_id: str, channel_ids: Sequence[str]) -> list[Any]:
        return [replace(state, pointer=ReadPosition()) for state in await self._counts.states(user_id, channel_ids)]


async def _write_and_increment(
    self: SqliteMessages, messages: Sequence[StoredMessage], newest: LogPlace | None = None
) -> None:
    await _WRITE(self, messages, newest)
    counts: Counter[str] = self.__dict__.setdefault("increments", Counter())
    counts.update(message.thread_id for message in messages if message.thread_id is not None)


async def _incremented(self: SqliteMessages, thread_id: str, *, after: int = -1, upto: int | None = None) -> int:
    return int(self.__dict__.get("increments", {}).get(thread_id, 0)) if upto is None and after < 0 else 0


async def _ask_for_increments(self: ReplyCounts, thread_id: str, _stored: int) -> int:
    return await self._messages.reply_count(thread_id)


async def _find_no_unstored(_self: AcceptedMessages, _message_id: str, _channel_id: str | None) -> IndexEntry | None:
    return None


class _Untold:
    """A publisher that says of each change that it was published, and publishes none."""

    def __init__(self, memberships: Any) -> None:
        self._memberships = memberships

    async def publish(self, changes: Sequence[Any]) -> None:
        await self._memberships.mark_published(changes)


async def _remove_quietly(self: CommandService, user_id: str, request: Any) -> Any:
    quiet: Any = copy.copy(self)
    quiet._publisher = _Untold(self._memberships)
    return await _REMOVE(quiet, user_id, request)


async def _begin_at_the_first_message(self: MembershipCounter, change: Any) -> None:
    if isinstance(change, MemberLeft):
        await _APPLY(self, change)
    else:
        await self._counts.joined(change.user_id, change.channel_id, change.version, ReadPosition())


async def _restore_nothing(_self: MembershipCounter, *_about: Any) -> None:
    """Do nothing."""


async def _drop_receipts(self: ReceiptWriter, decoded: Sequence[list[MessageReceipt]], newest: StoredEvent) -> None:
    with suppress(Unavailable):
        await _HANDLE(self, decoded, newest)


async def _read_own(self: ReadReceipts, user_id: str, channel_id: str, message_id: str) -> None:
    await self._append(user_id, channel_id, message_id)


async def _repair_messages_alone(self: GapRepair, lane: Lane, upto: int) -> None:
    if lane.stream != RECEIPTS:
        await _FILL(self, lane, upto)


def _count_own(connection: sqlite3.Connection, message: CountedMessage) -> None:
    _COUNT(connection, message._replace(sender_id=""))


CONVERSATIONS: Final[dict[str, tuple[str, Sequence[tuple[Any, str, Any]]]]] = {
    "redelivered messages are counted again": (
        "a message that is delivered to the counter a second time is unread twice",
        [(UnreadCounter, "handle", _count_what_comes), (SqliteUnread, "count", _count_all)],
    ),
    "marks clear everything": (
        "who marks a message as read has no unread messages, whatever was posted after it",
        [(SqliteUnread, "mark_read", _mark_all_read)],
    ),
    "pointers go back": (
        "who marks an older message as read has read up to there only",
        [(sqlite_unread, "_move", _move_anywhere), (ReadMarker, "mark_read", _mark_older_too)],
    ),
    "replies are counted by increments": (
        "the number of replies rises with each reply that is written, also when it is written again",
        [
            (SqliteMessages, "write", _write_and_increment),
            (SqliteMessages, "reply_count", _incremented),
            (ReplyCounts, "count", _ask_for_increments),
        ],
    ),
    "replies are in the channel": (
        "a reply that is in its thread alone is in the history of the channel too, and counts there",
        [(Message, "is_only_in_thread", property(lambda _message: False))],
    ),
    "threads are awaited": (
        "a reply is refused as long as the message store does not have the first message",
        [(AcceptedMessages, "_find_unstored", _find_no_unstored)],
    ),
    "removals are not told": (
        "who is removed from a channel is so in the membership store alone",
        [(CommandService, "remove", _remove_quietly)],
    ),
    "joiners have a backlog": (
        "who joins a channel has everything unread that was posted before",
        [(MembershipCounter, "_apply", _begin_at_the_first_message)],
    ),
    "mentions before the join are dropped": (
        "who joins again loses the mentions that are counted before the event of the join is handled",
        [(MembershipCounter, "_restore_mentions", _restore_nothing)],
    ),
    "joins name no message": (
        "who joined is told of no message up to which the channel is read, if later ones were counted first",
        [(ReadPositions, "at_join", ReadPositions.at)],
    ),
    "receipts are dropped": (
        "a receipt that the receipt store refuses is acknowledged all the same",
        [(ReceiptWriter, "handle", _drop_receipts)],
    ),
    "receipts of everything": (
        "there are receipts of one's own messages, and of those of channels that one is not in",
        [(ReadReceipts, "message_read", _read_own)],
    ),
    "missing receipts are not read": (
        "an instance that misses receipts does not read them from the log",
        [(GapRepair, "_fill", _repair_messages_alone)],
    ),
    "own messages count": ("one's own messages are unread", [(sqlite_unread, "_count", _count_own)]),
}
"""What the product then does, and what is replaced, by the name of the fault."""
