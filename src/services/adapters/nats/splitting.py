"""Splits what the server sends: deliveries go to delivery buffers as bytes, everything else to nats-py's parser.

nats-py creates an object for each message and parses its headers, which costs more than everything that is done with a
delivery afterwards.
"""

from collections.abc import Callable

from nats.aio.client import Client
from nats.protocol.parser import Parser

from fanout import DeliveryBuffer, Splitter


class SplittingParser(Parser):
    """nats-py's parser behind a `Splitter`."""

    def __init__(self, nc: Client) -> None:
        self._splitter = Splitter()
        self._arrived: dict[int, Callable[[], None]] = {}
        super().__init__(nc)

    def take(self, sid: int, buffer: DeliveryBuffer, arrived: Callable[[], None]) -> None:
        """Put a subscription's deliveries into a buffer, and call `arrived` after some were received."""
        self._arrived[sid] = arrived
        self._splitter.take(sid, buffer)

    def leave(self, sid: int) -> None:
        """Leave a subscription's deliveries to nats-py again."""
        self._splitter.leave(sid)
        self._arrived.pop(sid, None)

    def reset(self) -> None:
        """As nats-py calls it, for each new connection."""
        super().reset()
        self._splitter.reset()

    async def parse(self, data: bytes = b"") -> None:
        """As nats-py calls it, with what the server sent."""
        rest, touched = self._splitter.feed(data)
        for sid in touched:
            if arrived := self._arrived.get(sid):
                arrived()
        if rest:
            await super().parse(rest)
