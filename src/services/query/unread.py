"""The calls about what is unread: counts, counting again from the messages, and the list of a user's channels."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final, TypeVar

from fanout import packed_ids
from fanout.api.unread import ChannelList, Counts, ListedChannel, ListRequest
from fanout.errors import Unavailable
from fanout.ports.log import Log
from fanout.ports.memberships import Channel, Memberships
from fanout.ports.messages import Position
from fanout.ports.unread import ChannelState, CountedMessage, ReadPosition, UnreadCounts
from fanout.streams import MESSAGES, UNREAD_COUNTER
from services.query.cursors import Cursors, Scope
from services.runtime.channel_messages import ChannelMessages

LIST: Final = "channels.list"

_ASK_EVERY_S: Final = 0.05
_TRIES: Final = 40
"""How often `recalculate` asks whether the counter has reached the end of the log."""
_AT_ONCE: Final = 500
_RECOUNTS_AT_ONCE: Final = 16
_ATTEMPTS: Final = 10

_T = TypeVar("_T")


class UnreadQueries:
    """Handles the calls of `fanout.api.unread`.

    Args:
        log: knows how far the counter has come.
        memberships: the channels of users.
        counts: the unread store.
        channel_messages: reads messages, to count them again.
        cursors: of `channels.list`.
    """

    def __init__(
        self,
        log: Log,
        memberships: Memberships,
        counts: UnreadCounts,
        channel_messages: ChannelMessages,
        cursors: Cursors,
    ) -> None:
        self._log = log
        self._memberships = memberships
        self._counts = counts
        self._channel_messages = channel_messages
        self._cursors = cursors

    async def counts(self, user_id: str) -> Counts:
        """The unread messages and mentions of the user; see `UnreadCalls.counts`."""
        return await self._counts_of(user_id, await self._memberships.packed_channels_of(user_id))

    async def recalculate(self, user_id: str) -> Counts:
        """Count again; see `UnreadCalls.recalculate`. What is accepted before the call is in the result.

        Raises:
            Unavailable: a store or the log cannot be read, or the counter or the message writer is far behind.
        """
        await self._channel_messages.check()  # also where the log has everything that is unread
        counted = await self._until_counted(await self._log.last_seq(MESSAGES))
        channels = await self._memberships.packed_channels_of(user_id)
        for some in _unpacked(channels):
            states = await self._counts.states(user_id, some)
            for few in _parts(list(zip(some, states, strict=True)), _RECOUNTS_AT_ONCE):
                await asyncio.gather(*(self._recount(user_id, channel_id, state, counted) for channel_id, state in few))
        return await self._counts_of(user_id, channels)

    async def list_channels(self, user_id: str, request: ListRequest) -> ChannelList:
        """A page of the user's channels; see `UnreadCalls.list_channels`."""
        scope = Scope(user_id, LIST, "")
        start = None if request.cursor is None else (await self._cursors.take(scope, request.cursor)).position
        after = "" if start is None else start.message_id  # its name in the cursor: here it is the id of a channel
        found = await self._memberships.channels_page(user_id, after, request.limit + 1)
        page = found[: request.limit]
        states = await self._counts.states(user_id, [channel.channel_id for channel in page])
        listed = [_listed(channel, state) for channel, state in zip(page, states, strict=True)]
        if len(found) == len(page):
            return ChannelList(listed)
        return ChannelList(listed, await self._cursors.give(scope, "after", Position(0, page[-1].channel_id)))

    async def _counts_of(self, user_id: str, packed: bytes) -> Counts:
        channels: dict[str, int] = {}
        mentions = 0
        for some in _unpacked(packed):
            for channel_id, unread in (await self._counts.unread(user_id, some)).items():
                mentions += unread.mentions
                if unread.messages:
                    channels[channel_id] = unread.messages
        return Counts(channels, sum(channels.values()), mentions)

    async def _until_counted(self, end: int) -> int:
        """Wait until the counter has reached a position of the log; return how far it is."""
        for _ in range(_TRIES):
            if (counted := await self._log.acknowledged(MESSAGES, UNREAD_COUNTER)) >= end:
                return counted
            await asyncio.sleep(_ASK_EVERY_S)
        raise Unavailable("the counter of unread messages is behind; try again")

    async def _recount(self, user_id: str, channel_id: str, state: ChannelState, counted: int) -> None:
        for _ in range(_ATTEMPTS):
            # A store that was emptied has no place, and counts what comes after the counter's: nothing before that.
            upto = state.place or counted
            between = self._channel_messages.between(channel_id, state.pointer.seq, upto)
            found = [message async for message in between]
            right, mentions = _true_counts(user_id, state, found)
            if _is_right(state, right, mentions) or await self._counts.correct(user_id, channel_id, right, mentions):
                return
            (state,) = await self._counts.states(user_id, [channel_id])  # the pointer has moved
        raise Unavailable("the read pointer moves all the time; try again")


def _unpacked(channels: bytes) -> Iterator[list[str]]:
    """The ids of a packed list, `_AT_ONCE` at a time."""
    ids = (channel_id for piece in packed_ids.pieces(channels) for channel_id in packed_ids.unpack(piece))
    while some := list(islice(ids, _AT_ONCE)):
        yield some


def _parts(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _true_counts(user_id: str, state: ChannelState, found: Sequence[CountedMessage]) -> tuple[ReadPosition, list[int]]:
    """The counts that a pointer should have, and the mentions after it, from the messages after it."""
    count = sum(message.in_channel for message in found)
    own = sum(message.in_channel and message.sender_id == user_id for message in found)
    mentions = [message.seq for message in found if user_id in message.mentions]
    return replace(state.pointer, count=state.count - count, own=state.own - own), mentions


def _is_right(state: ChannelState, right: ReadPosition, mentions: Sequence[int]) -> bool:
    # The message store has no replies that are in their threads alone, so more mentions may be right.
    return state.pointer == right and state.mentions >= len(mentions)


def _listed(channel: Channel, state: ChannelState) -> ListedChannel:
    return ListedChannel(
        channel_id=channel.channel_id,
        name=channel.name,
        unread=state.unread,
        last_read_id=state.pointer.message_id or None,
        latest_message_id=state.latest_id or None,
    )
