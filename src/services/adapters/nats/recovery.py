"""How readers of the log and their acknowledgements survive an outage of the server."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import structlog

from fanout.errors import Unavailable
from services.adapters.nats.connection import NatsConnection
from services.runtime.tasks import FIRST_DELAY_S, retry_forever

_LONGEST_PAUSE_S: Final = 1.0

_log = structlog.get_logger(__name__)


async def until_available(step: Callable[[], Awaitable[None]]) -> None:
    """Have a reader begin again: repeat a step until the server is available.

    The first attempt comes after a short pause as well, so that a fault that returns at once causes no busy loop. The
    connection logs that it is lost; a line of each reader would say the same, and is for debugging alone.
    """
    await asyncio.sleep(FIRST_DELAY_S)
    await retry_forever(step, "resuming a reader of the log", longest_s=_LONGEST_PAUSE_S, level=logging.DEBUG)


class Acknowledger:
    """Writes acknowledgements, many in one write, and keeps them while there is no connection.

    What it keeps is bounded by what was delivered before the connection was lost.
    """

    def __init__(self, nc: NatsConnection) -> None:
        self._nc = nc
        self._unsent = b""

    def add(self, tokens: Iterable[str], answer: bytes = b"") -> None:
        """Answer deliveries with the next `flush`.

        Args:
            tokens: `StoredEvent.token` of each.
            answer: empty for an acknowledgement, else another answer of JetStream's protocol.
        """
        self._unsent += _commands(tokens, answer)

    def forget(self) -> None:
        """Drop the answers that were not sent: they belong to a consumer that was replaced."""
        self._unsent = b""

    async def flush(self) -> None:
        """Write the answers that were not sent. Without a connection they are kept."""
        if not self._unsent:
            return
        commands, self._unsent = self._unsent, b""
        try:
            await self._nc.write(commands)
        except Unavailable as error:
            self._unsent = commands + self._unsent
            _log.debug("nats.acks_kept", bytes=len(self._unsent), error=str(error))

    async def send(self, tokens: Iterable[str], answer: bytes) -> None:
        """Answer deliveries now or, without a connection, never; the arguments are those of `add`."""
        try:
            await self._nc.write(_commands(tokens, answer))
        except Unavailable as error:
            _log.debug("nats.answers_dropped", error=str(error))


def _commands(tokens: Iterable[str], answer: bytes) -> bytes:
    return b"".join(b"PUB %b %d\r\n%b\r\n" % (token.encode(), len(answer), answer) for token in tokens)
