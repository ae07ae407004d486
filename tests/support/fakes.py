"""Ports in memory, with a switch that makes each unavailable."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from itertools import accumulate

import msgspec

from fanout.errors import TooLarge
from fanout.events import StoredMessage, encode
from fanout.keys import PresenceChange
from fanout.ports.authenticator import Identity, TokenRefused
from fanout.ports.bus import Handler, Subscription
from fanout.ports.log import Appended, Consumer, PartitionReader, Reset, Stored, Tail
from fanout.ports.messages import LogPlace, Page, Position
from fanout.ports.presence import ChangeHandler, DeviceConnection, Lease
from fanout.subjects import STREAM_SUBJECTS
from services.adapters.embedded.suspension import suspending
from tests.support.fake_memberships import FakeMemberships
from tests.support.switchable import Switchable

__all__ = ["FakeAuthenticator", "FakeBus", "FakeLog", "FakeMemberships", "FakeMessages", "FakePresence", "stream_of"]


def stream_of(subject: str) -> str:
    """The stream whose subjects match."""
    for stream, patterns in STREAM_SUBJECTS.items():
        for pattern in patterns:
            tokens = re.escape(pattern).replace(r"\*", r"[^.]+").replace(">", ".+")
            if re.fullmatch(tokens, subject):
                return stream
    raise AssertionError(f"no stream takes {subject}")


@suspending
class FakeLog(Switchable):
    """Streams as lists; every message id is remembered for ever."""

    partitions = 1

    def __init__(self) -> None:
        super().__init__()
        self.streams: dict[str, list[Stored]] = {stream: [] for stream in STREAM_SUBJECTS}
        self.msg_ids: dict[tuple[str, str], int] = {}
        self.acknowledged_upto: int | None = None
        """How far every durable consumer has come; None: to the end."""
        self.longest = 1 << 20
        self.missed: Reset | None = None

    async def append(self, subject: str, payload: bytes, *, msg_id: str) -> Appended:
        self._use()
        if len(payload) > self.longest:
            raise TooLarge(f"{len(payload)} bytes")
        stream = stream_of(subject)
        if (stream, msg_id) in self.msg_ids:
            return Appended(self.msg_ids[stream, msg_id], duplicate=True)
        seq = len(self.streams[stream]) + 1
        self.streams[stream].append(Stored(seq, subject, payload))
        self.msg_ids[stream, msg_id] = seq
        return Appended(seq, duplicate=False)

    async def get(self, stream: str, seq: int) -> Stored | None:
        self._use()
        events = self.streams[stream]
        return events[seq - 1] if 1 <= seq <= len(events) else None

    async def last_seq(self, stream: str) -> int:
        self._use()
        return len(self.streams[stream])

    async def recall(self, stream: str, seq: int, stored_ns: int) -> None:
        self._use()

    def on_reset(self, listener: Callable[[Reset], None]) -> Callable[[], None]:
        return lambda: None

    async def missed_reset(self, stream: str, since: float) -> Reset | None:
        self._use()
        return self.missed

    async def acknowledged(self, stream: str, durable: str) -> int:
        self._use()
        return len(self.streams[stream]) if self.acknowledged_upto is None else self.acknowledged_upto

    async def consume(self, stream: str, durable: str, *, batch: int = 200) -> Consumer:
        raise NotImplementedError

    async def tail(self, stream: str, *, after: int) -> Tail:
        raise NotImplementedError

    async def read(self, stream: str, *, after: int, upto: int, part: int | None = None) -> AsyncGenerator[Stored]:
        self._use()
        for event in self.streams[stream][after:upto]:
            yield event

    async def claim(self, partition: int, owner: str) -> PartitionReader:
        raise NotImplementedError

    async def dead_letter(self, stream: str, event: Stored, reason: str) -> None:
        raise NotImplementedError


@suspending
class FakeMessages(Switchable):
    """Messages by id."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: dict[str, StoredMessage] = {}
        self.place: LogPlace | None = None

    async def newest_place(self) -> LogPlace | None:
        self._use()
        return self.place

    async def write(self, messages: Sequence[StoredMessage], newest: LogPlace | None = None) -> None:
        self._use()
        self.place = max(filter(None, (self.place, newest)), default=None)
        for message in messages:
            there = self.messages.setdefault(message.message_id, message)
            if message.seq > there.seq and message.channel_id == there.channel_id:
                self.messages[message.message_id] = msgspec.structs.replace(there, seq=message.seq)

    async def position_of(self, channel_id: str, message_id: str) -> Position | None:
        self._use()
        message = self.messages.get(message_id)
        return Position(message.seq, message_id) if message and message.channel_id == channel_id else None

    async def history(
        self,
        channel_id: str,
        *,
        before: Position | None = None,
        after: Position | None = None,
        limit: int = 50,
        max_bytes: int | None = None,
    ) -> Page:
        self._use()
        found = {
            Position(message.seq, message.message_id): message
            for message in self.messages.values()
            if message.channel_id == channel_id
        }
        places = sorted(
            (place for place in found if (before is None or place < before) and (after is None or place > after)),
            reverse=after is None,
        )
        count = _that_fit([len(encode(found[place])) + 1 for place in places[:limit]], max_bytes)
        page = [found[place] for place in places[:count]]
        following = places[count].seq if len(places) > count else None
        return Page(page if after is None else page[::-1], following)

    async def cursor_key(self) -> bytes:
        self._use()
        return b"k" * 32


def _that_fit(sizes: Sequence[int], max_bytes: int | None) -> int:
    """How many of the first fit; one always does."""
    fitting = [count for count, total in enumerate(accumulate(sizes), 1) if max_bytes is None or total <= max_bytes]
    return max(fitting, default=min(len(sizes), 1))


@suspending
class FakePresence(Switchable):
    """Leases that never end."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[str, Lease] = {}

    async def leases(self) -> Mapping[str, Lease]:
        self._use()
        return dict(self.held)

    async def lease(self, lease: Lease) -> None:
        self._use()
        self.held[lease.instance_id] = lease

    async def release(self, instance_id: str) -> None:
        self._use()
        self.held.pop(instance_id, None)

    async def connect(self, connection: DeviceConnection) -> str | None:
        raise NotImplementedError

    async def renew(self, connections: Sequence[DeviceConnection]) -> None:
        raise NotImplementedError

    async def disconnect(self, connection: DeviceConnection, *, last: bool) -> None:
        raise NotImplementedError

    async def announce(self, changes: Sequence[PresenceChange]) -> None:
        raise NotImplementedError

    async def watch(self, handler: ChangeHandler) -> Subscription:
        raise NotImplementedError

    async def connections_of(self, user_id: str) -> list[DeviceConnection]:
        raise NotImplementedError

    async def locations_of(self, user_id: str) -> frozenset[str]:
        raise NotImplementedError


@suspending
class FakeAuthenticator(Switchable):
    """A token is `user:{user_id}`; anything else is refused."""

    async def verify(self, token: str) -> Identity:
        self._use()
        prefix, _, user = token.partition(":")
        if not token:
            raise TokenRefused("token_missing")
        if prefix != "user" or not user:
            raise TokenRefused("token_malformed")
        return Identity(user, 4e9)


@suspending
class FakeBus(Switchable):
    """Keeps what is published, and hands it to whoever hears the very subject; publications wait while `held`."""

    def __init__(self) -> None:
        super().__init__()
        self.published: list[tuple[str, bytes]] = []
        self.handlers: dict[str, list[Handler]] = {}
        self._free = asyncio.Event()
        self._free.set()
        self.offered = 0
        self.max_payload = 1 << 20

    @property
    def held(self) -> bool:
        return not self._free.is_set()

    @held.setter
    def held(self, held: bool) -> None:
        (self._free.clear if held else self._free.set)()

    async def publish(self, subject: str, payload: bytes) -> None:
        await self._publish([(subject, payload)])

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> None:
        await self._publish(messages)

    async def subscribe(self, subject: str, handler: Handler) -> Subscription:
        self._use()
        self.handlers.setdefault(subject, []).append(handler)
        return _FakeSubscription(self, subject, handler)

    def hear(self, subject: str, payload: bytes, *, pattern: str | None = None) -> None:
        """Hand a message to those who subscribed to its subject, or to this pattern."""
        for handler in list(self.handlers.get(pattern or subject, ())):
            handler(subject, payload)

    async def _publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        self.offered += 1
        await self._free.wait()
        self._use()
        self.published += messages


@suspending
class _FakeSubscription:
    def __init__(self, bus: FakeBus, subject: str, handler: Handler) -> None:
        self._bus, self._subject, self._handler = bus, subject, handler

    async def close(self) -> None:
        self._bus.handlers[self._subject].remove(self._handler)
