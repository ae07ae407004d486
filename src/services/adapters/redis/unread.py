"""Unread counts in Redis or Valkey. Contract section 5."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from fanout.keys import Keys
from fanout.ports.messages import LogPlace
from fanout.ports.unread import ChannelState, CountedMessage, ReadPosition, Unread
from services.adapters.redis import unread_scripts as scripts
from services.adapters.redis.client import reaching, reaching_keys
from services.adapters.redis.keyspace import Encodable, Keyspace

COUNTED_AT_ONCE: Final = 500
"""Messages and mentions that one script counts: other commands wait for it, for a few milliseconds."""


class RedisUnread(Keyspace):
    """`fanout.ports.unread.UnreadCounts`. Counts that Redis loses with its last writes are counted again.

    The position of the counter is written with the counts, so both go back together, and the counter continues there.
    """

    def __init__(self, client: Redis, keys: Keys, deployment: str = "") -> None:
        super().__init__(client, keys, deployment)
        self._count = self._script(scripts.COUNT)
        self._states = self._script(scripts.STATES)
        self._unread = self._script(scripts.UNREAD)
        self._mark_read = self._script(scripts.MARK_READ)
        self._joined = self._script(scripts.JOINED)
        self._left = self._script(scripts.LEFT)
        self._correct = self._script(scripts.CORRECT)

    async def place(self) -> LogPlace | None:
        """See the port."""
        with reaching("place"):
            seq, stored_ns = await self._client.hmget(self._keys.unread_place, ["seq", "stored_ns"])
        return None if seq is None else LogPlace(int(seq), int(stored_ns or 0))

    async def count(self, messages: Sequence[CountedMessage], *, after: int) -> int:
        """See the port. Each part of many messages is one atomic step."""
        at = after
        for part in _parts(messages):
            values = [value for message in part for value in _values(message)]
            at = int(await self._run(self._count, [self._keys.unread_place], [after, *values]))
            if at < part[-1].seq:
                break
            after = part[-1].seq
        return at

    async def states(self, user_id: str, channel_ids: Sequence[str]) -> list[ChannelState]:
        """See the port."""
        found = await self._run(self._states, [self._keys.unread_place], [user_id, *channel_ids])
        return [_state(*fields) for fields in found]

    async def unread(self, user_id: str, channel_ids: Sequence[str]) -> Mapping[str, Unread]:
        """See the port."""
        found = await self._run(self._unread, [], [user_id, *channel_ids])
        return {str(channel_id): Unread(int(messages), int(mentions)) for channel_id, messages, mentions in found}

    async def mark_read(
        self, user_id: str, channel_id: str, position: ReadPosition, *, older_mentions: int = 0
    ) -> bool:
        """See the port."""
        return await self._change(self._mark_read, user_id, channel_id, [*_moved(position, older_mentions), channel_id])

    async def joined(self, user_id: str, channel_id: str, version: int, position: ReadPosition) -> bool:
        """See the port."""
        return await self._change(self._joined, user_id, channel_id, [*_moved(position, 0), channel_id, version])

    async def left(self, user_id: str, channel_id: str, version: int) -> bool:
        """See the port. It is remembered for a day."""
        return await self._change(self._left, user_id, channel_id, [channel_id, version])

    async def correct(self, user_id: str, channel_id: str, pointer: ReadPosition, mentions: Sequence[int]) -> bool:
        """See the port."""
        values: list[Encodable] = [pointer.seq, pointer.count, pointer.own, *mentions]
        return await self._change(self._correct, user_id, channel_id, values)

    async def _change(self, script: AsyncScript, user_id: str, channel_id: str, values: list[Encodable]) -> bool:
        used = {
            self._keys.read_pointer(user_id, channel_id): "hash",
            self._keys.mentions(user_id, channel_id): "zset",
            self._keys.changed(user_id): "zset",
            self._keys.draft(user_id, channel_id): "hash",
        }
        async with reaching_keys(self._client, "a read pointer", used):
            return bool(await script(keys=list(used), args=values))

    async def _run(self, script: AsyncScript, keys: list[str], values: list[Encodable]) -> Any:
        with reaching("unread counts"):
            return await script(keys=keys, args=values)


def _parts(messages: Sequence[CountedMessage]) -> Iterator[Sequence[CountedMessage]]:
    """Cut messages so that no part takes long to count."""
    start, work = 0, 0
    for at, message in enumerate(messages):
        if work >= COUNTED_AT_ONCE:
            yield messages[start:at]
            start, work = at, 0
        work += 1 + len(message.mentions)
    if start < len(messages):
        yield messages[start:]


def _values(message: CountedMessage) -> list[Encodable]:
    return [
        message.seq,
        message.stored_ns,
        message.channel_id,
        message.message_id,
        message.sender_id,
        int(message.in_channel),
        len(message.mentions),
        *message.mentions,
    ]


def _moved(position: ReadPosition, older_mentions: int) -> list[Encodable]:
    return [position.seq, position.count, position.own, position.message_id, position.read_at, older_mentions]


def _state(
    place: str | None, latest: Sequence[str | None], held: Sequence[str | None], mentions_from: str | None
) -> ChannelState:
    own, seq, count, own_read, message_id, read_at, mentions = held
    pointer = ReadPosition(int(seq or 0), int(count or 0), int(own_read or 0), message_id or "", read_at or "")
    latest_id, latest_seq, counted = latest
    return ChannelState(
        place=int(place or 0),
        latest_id=latest_id or "",
        latest_seq=int(latest_seq or 0),
        count=int(counted or 0),
        own=int(own or 0),
        pointer=pointer,
        mentions=int(mentions or 0),
        mentions_from=int(mentions_from or 0),
    )
