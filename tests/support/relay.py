"""A network between clients and a server, which a test can cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

_READ_AT_ONCE = 1 << 16


class Relay:
    """Passes on every connection to a server while the network is up.

    Args:
        port: of the server on 127.0.0.1.

    Attributes:
        is_up: whether connections are passed on; else they are closed at once.
    """

    def __init__(self, port: int) -> None:
        self.is_up = True
        self._port = port
        self._serving: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Break every connection, and take none until `is_up` is set again."""
        self.is_up = False
        self.break_connections()

    def break_connections(self) -> None:
        """Break the connections that there are."""
        for serving in self._serving:
            serving.cancel()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            if self.is_up:
                await self._pass_on(reader, writer)
        except asyncio.CancelledError:
            pass  # the network was cut, or the test has ended
        finally:
            self._serving.discard(task)
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._port)
        directions = [asyncio.create_task(_copy(reader, to_server)), asyncio.create_task(_copy(from_server, writer))]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.wait(directions)
            to_server.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_READ_AT_ONCE):
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def relaying(url: str) -> AsyncIterator[tuple[Relay, str]]:
    """A relay before the server of an address, and the address to use in its place."""
    parts = urlsplit(url)
    assert parts.port is not None
    relay = Relay(parts.port)
    server = await asyncio.start_server(relay.accept, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield relay, parts._replace(netloc=f"127.0.0.1:{port}").geturl()
    finally:
        relay.cut()
        server.close()
