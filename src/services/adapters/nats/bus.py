"""The bus on core NATS."""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Final

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from fanout.errors import TooLarge, Unavailable
from fanout.ports.bus import GapListener, Handler
from services.adapters.nats.connection import NatsConnection, translated
from services.adapters.nats.names import Names
from services.runtime.skipping import guarded

_PENDING_MESSAGES: Final = 65_536
_PENDING_BYTES: Final = 64 * 1024 * 1024
_WRITTEN_AT_ONCE: Final = 4 * 1024 * 1024
"""Bytes: half of what the connection lets wait, so that no block is refused because of its own length."""
_BREAKS_THE_LINE: Final = re.compile(r"[ \t\r\n]|^$")


Command = tuple[bytes, bytes, bytes]
"""A PUB: its line, the payload, and the line's end after it. They are separate, so that no payload is copied."""


class NatsBus:
    """`fanout.ports.bus.Bus` on core NATS. The caller that opened the connection closes it.

    Args:
        nc: the connection.
        names: of the deployment's subjects on the server.
    """

    def __init__(self, nc: NatsConnection, names: Names = Names()) -> None:  # noqa: B008 - it is immutable
        self._nc = nc
        self._names = names

    @property
    def max_payload(self) -> int:
        """See the port: the limit of the server that it is connected to, or was connected to last."""
        return self._nc.max_payload

    async def publish(self, subject: str, payload: bytes) -> None:
        """See the port."""
        await self._nc.write(*self._command(subject, payload))

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """See the port: one write, and one answer to wait for; several where it is much.

        Raises:
            Unavailable: not connected, or no answer in time; some may have been sent.
            TooLarge: a payload is longer than the server takes; none was sent.
        """
        for block in _blocks([self._command(*message) for message in messages]):
            await self._nc.write(*chain.from_iterable(block))
            await self._nc.ping()

    async def subscribe(self, subject: str, handler: Handler) -> "NatsSubscription":
        """See the port. When 65,536 messages or 64 MiB wait for a slow handler, more are dropped and counted."""
        handle = guarded(subject, handler)

        async def hear(msg: Msg) -> None:
            handle(self._names.bare(msg.subject), msg.data)

        with translated("no subscription"):
            subscription = await self._nc.subscribe(
                self._names.subject(subject),
                cb=hear,
                pending_msgs_limit=_PENDING_MESSAGES,
                pending_bytes_limit=_PENDING_BYTES,
            )
        try:
            await self._nc.ping()
        except Unavailable:
            await self._nc.retire(subscription)
            raise
        return NatsSubscription(self._nc, subscription)

    def on_gap(self, listener: GapListener) -> Callable[[], None]:
        """See the port: the seconds are counted from the last ping that was answered, one at least every five."""
        return self._nc.gaps.on_gap(listener)

    async def ping(self) -> None:
        """See the port."""
        await self._nc.ping()

    def _command(self, subject: str, payload: bytes) -> Command:
        if _BREAKS_THE_LINE.search(subject):
            raise ValueError(f"{subject!r} is not a subject")
        if len(payload) > self._nc.max_payload:
            raise TooLarge(f"{len(payload)} bytes for {subject}: the server takes {self._nc.max_payload}")
        return b"PUB %b %d\r\n" % (self._names.subject(subject).encode(), len(payload)), payload, b"\r\n"


def _blocks(commands: Sequence[Command]) -> Iterator[Sequence[Command]]:
    """Cut into writes of at most `_WRITTEN_AT_ONCE` bytes, or of one command."""
    start = size = 0
    for at, command in enumerate(commands):
        length = sum(map(len, command))
        if size + length > _WRITTEN_AT_ONCE and at > start:
            yield commands[start:at]
            start, size = at, 0
        size += length
    if commands:
        yield commands[start:]


class NatsSubscription:
    """`fanout.ports.bus.Subscription`; made by `NatsBus.subscribe`."""

    def __init__(self, nc: NatsConnection, subscription: Subscription) -> None:
        self._nc = nc
        self._subscription = subscription

    async def close(self) -> None:
        """See the port."""
        await self._nc.retire(self._subscription)
