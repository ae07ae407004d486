"""Clients' WebSockets by the `websockets` library: its handshake and its reading; the frames are written by us.

Frames are ready bytes, the same for every reader, so they go past the library to its transport. That is sound because
no extension is negotiated (no compression state) and the library itself never sends a fragmented message here.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State

from fanout import Unavailable
from fanout.ports.socket import SocketClosed, SocketHandler

log = structlog.get_logger(__name__)

PATH = "/ws"
OPEN_WITHIN_S = 10.0
CLOSE_WITHIN_S = 5.0
BACKLOG = 4096
MESSAGES_READ_AHEAD = 4


class WebSocket:
    """A `fanout.ports.socket.Socket` over a server connection of the library."""

    __slots__ = ("_connection",)

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    @property
    def authorization(self) -> str | None:
        """The `Authorization` header of the opening request."""
        request = self._connection.request
        return None if request is None else request.headers.get("Authorization")

    @property
    def buffered(self) -> int:
        """Bytes written and not yet taken by the operating system."""
        return self._connection.transport.get_write_buffer_size()

    def write(self, frames: bytes) -> None:
        """Send whole frames."""
        if self._connection.protocol.state is State.OPEN:
            self._connection.transport.write(frames)

    async def receive(self) -> str | bytes:
        """The next message."""
        try:
            return await self._connection.recv()
        except ConnectionClosed as error:
            raise SocketClosed from error

    async def close(self, code: int, reason: str) -> None:
        """Close, and cut off a client that does not take the close frame in time."""
        try:
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await self._connection.close(code, reason[:120])
        except TimeoutError:
            self._connection.transport.abort()


def _refuse_other_paths(connection: ServerConnection, request: Request) -> Response | None:
    if request.path.partition("?")[0] != PATH:
        return connection.respond(404, f"WebSockets are served at {PATH}\n")
    return None


@asynccontextmanager
async def serving_websockets(handler: SocketHandler, host: str, port: int, *, max_frame: int) -> AsyncIterator[int]:
    """Serve clients for the length of the context.

    Args:
        handler: serves one connection; when it returns, the connection is closed.
        host: to listen on.
        port: to listen on; 0 is any free one.
        max_frame: bytes of the largest message from a client; a larger one closes with 1009.

    Yields:
        the port. Leaving takes no new clients and waits for the handlers; close the sockets before.

    Raises:
        Unavailable: the address cannot be listened on.
    """

    async def serve_one(connection: ServerConnection) -> None:
        await handler(WebSocket(connection))

    try:
        server = await _listen(serve_one, host, port, max_frame)
    except OSError as error:
        raise Unavailable(f"{host}:{port} cannot be listened on: {error.strerror or error}") from error
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close(close_connections=False)
        await server.wait_closed()


async def _listen(
    serve_one: Callable[[ServerConnection], Awaitable[None]], host: str, port: int, max_frame: int
) -> Server:
    return await serve(
        serve_one,
        host,
        port,
        process_request=_refuse_other_paths,
        compression=None,
        max_size=max_frame,
        max_queue=MESSAGES_READ_AHEAD,
        ping_interval=None,  # clients send heartbeats: no task and no timer for each connection
        server_header=None,
        open_timeout=OPEN_WITHIN_S,
        close_timeout=CLOSE_WITHIN_S,
        backlog=BACKLOG,
    )
