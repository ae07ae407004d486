"""How readers of the log outlive an outage, and how their acknowledgements do."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import structlog

from fanout.errors import Unavailable
from services.adapters.nats.connection import Connection

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0

_log = structlog.get_logger(__name__)


async def until_available(step: Callable[[], Awaitable[None]]) -> None:
    """Take a step again and again, with pauses, for as long as the server is unavailable.

    The first attempt comes after a short pause as well, so that a fault that comes back at once makes no hot loop.
    """
    pause = _FIRST_PAUSE_S
    while True:
        await asyncio.sleep(pause)
        try:
            return await step()
        except Unavailable as error:
            _log.debug("nats.waiting", error=str(error))
            pause = min(2 * pause, _LONGEST_PAUSE_S)


class Acknowledger:
    """Writes acknowledgements, joined, and keeps those that a lost connection refuses until it is back.

    No more can be kept than was delivered before the connection was lost.
    """

    def __init__(self, nc: Connection) -> None:
        self._nc = nc
        self._unsent = b""

    def add(self, tokens: Iterable[str], answer: bytes = b"") -> None:
        """Answer deliveries with the next `flush`.

        Args:
            tokens: `Stored.token` of each.
            answer: nothing for an acknowledgement, else what JetStream's protocol has.
        """
        self._unsent += _commands(tokens, answer)

    def forget(self) -> None:
        """Answer nothing of what is unsent: the consumer is another one."""
        self._unsent = b""

    async def flush(self) -> None:
        """Write what is unsent; without a connection it stays so."""
        if not self._unsent:
            return
        commands, self._unsent = self._unsent, b""
        try:
            await self._nc.write(commands)
        except Unavailable as error:
            self._unsent = commands + self._unsent
            _log.debug("nats.acks_kept", bytes=len(self._unsent), error=str(error))

    async def send(self, tokens: Iterable[str], answer: bytes) -> None:
        """Answer deliveries now or, without a connection, not at all; the arguments are those of `add`."""
        try:
            await self._nc.write(_commands(tokens, answer))
        except Unavailable as error:
            _log.debug("nats.answers_dropped", error=str(error))


def _commands(tokens: Iterable[str], answer: bytes) -> bytes:
    return b"".join(b"PUB %b %d\r\n%b\r\n" % (token.encode(), len(answer), answer) for token in tokens)
