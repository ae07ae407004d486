"""A client of NATS that does as little as can be done, so that it is not what is measured."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, cast

from benchmarks.errors import BenchError

_END: Final = b"\r\n"
GREETING: Final = b'CONNECT {"verbose":false,"pedantic":false,"lang":"bench","version":"1","headers":true}\r\n'
"""What a client says first."""
_LINE_END_BYTES: Final = len(_END)
_ANSWER_WITHIN_S: Final = 30.0

Hear = Callable[[bytes, bytes], None]
"""Gets the subject and the payload of each message."""


class Parser:
    """Cuts what the server sends into messages."""

    def __init__(self, hear: Hear, obey: Callable[[bytes], None]) -> None:
        self._hear = hear
        self._obey = obey
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take what came; messages without headers are heard, other lines obeyed."""
        buffer, at = (self._rest + data if self._rest else data), 0
        while (end := buffer.find(_END, at)) >= 0:
            begin = end + _LINE_END_BYTES
            if buffer.startswith(b"MSG ", at):
                words = buffer[at:end].split(b" ")
                end = begin + int(words[-1])
                if len(buffer) < end + _LINE_END_BYTES:
                    break
                self._hear(words[1], buffer[begin:end])
                begin = end + _LINE_END_BYTES
            else:
                self._obey(buffer[at:end])
            at = begin
        self._rest = buffer[at:]


class Wire(asyncio.Protocol):
    """A connection; made by `open_wire`."""

    def __init__(self, hear: Hear) -> None:
        self._parser = Parser(hear, self._obey)
        self._pongs: list[asyncio.Future[None]] = []
        self._transport: asyncio.Transport
        self._may_write = asyncio.Event()
        self._may_write.set()
        self.failure: str | None = None
        """What the server complained of, if it did."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The protocol's."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one, though no subclass
        self._transport.write(GREETING)

    def connection_lost(self, exc: Exception | None) -> None:
        """The protocol's."""
        self._fail(f"the connection to NATS was lost: {exc or 'the server closed it'}")

    def data_received(self, data: bytes) -> None:
        """The protocol's."""
        self._parser.feed(data)

    def pause_writing(self) -> None:
        """The protocol's."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """The protocol's."""
        self._may_write.set()

    async def write(self, commands: bytes) -> None:
        """Send encoded commands, as fast as the server takes them.

        Raises:
            BenchError: the server complained, or is gone.
        """
        await self._may_write.wait()
        self.check()
        self._transport.write(commands)

    async def settle(self) -> None:
        """Return when the server has done all that was sent, and what it sent before was heard.

        Raises:
            BenchError: it does not, complained, or is gone.
        """
        pong = asyncio.get_running_loop().create_future()
        self._pongs.append(pong)
        await self.write(b"PING\r\n")
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                await pong
        except TimeoutError:
            raise BenchError(f"nats-server did not answer within {_ANSWER_WITHIN_S:.0f} s") from None
        self.check()

    async def subscribe(self, subjects: Iterable[str]) -> None:
        """Hear these subjects from now on.

        Raises:
            BenchError: as `settle`.
        """
        await self.write(b"".join(b"SUB %b %d\r\n" % (subject.encode(), at) for at, subject in enumerate(subjects, 1)))
        await self.settle()

    def check(self) -> None:
        """Look whether all is well.

        Raises:
            BenchError: it is not.
        """
        if self.failure is not None:
            raise BenchError(self.failure)

    def close(self) -> None:
        """End the connection."""
        self._transport.close()

    def _obey(self, line: bytes) -> None:
        if line == b"PING":
            self._transport.write(b"PONG\r\n")
        elif line == b"PONG" and self._pongs:
            self._pongs.pop(0).set_result(None)
        elif line.startswith(b"-ERR"):
            self._fail(f"nats-server: {line.decode()}")

    def _fail(self, why: str) -> None:
        self.failure = self.failure or why
        self._may_write.set()
        for pong in self._pongs:
            if not pong.done():
                pong.set_result(None)
        self._pongs.clear()


async def open_wire(port: int, hear: Hear) -> Wire:
    """Connect to the server on a port of 127.0.0.1.

    Raises:
        OSError: it cannot be reached.
    """
    _, wire = await asyncio.get_running_loop().create_connection(lambda: Wire(hear), "127.0.0.1", port)
    return wire
