"""Clients' WebSockets by the `websockets` library: its handshake and its parsing; reads and writes are bounded by us.

Frames are ready bytes, the same for every reader, so they go past the library to its transport. That is sound because
no extension is negotiated (no compression state) and the library itself never sends a fragmented message here.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import structlog
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State

from fanout.ports.socket import SocketClosed, SocketHandler

log = structlog.get_logger(__name__)

PATH = "/ws"
OPEN_WITHIN_S = 10.0
CLOSE_WITHIN_S = 5.0
BACKLOG = 4096
MESSAGES_READ_AHEAD = 4
MAX_REASON: Final = 120
"""Bytes; RFC 6455, section 5.5, has room for 123."""
READ_AT_ONCE: Final = 1024
"""Bytes of one client that are parsed in one turn of the event loop: at most some 170 frames of the smallest kind."""


class _Connection(ServerConnection):
    """The library's connection, whose descriptor is lent while nothing is buffered and frames may be sent."""

    _on_change: Callable[[bool], None] | None = None

    def lend(self, on_change: Callable[[bool], None]) -> int | None:
        """See the port."""
        if self.protocol.state is not State.OPEN or self.transport.get_extra_info("ssl_object") is not None:
            return None
        self._on_change = on_change
        descriptor: int = self.transport.get_extra_info("socket").fileno()
        return descriptor

    def take_back(self) -> None:
        """Let nothing be sent on the descriptor any more."""
        self._tell(may_send=False)
        self._on_change = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.protocol.state is not State.OPEN:
            self.take_back()

    def connection_lost(self, exc: Exception | None) -> None:
        self.take_back()  # before the descriptor is closed, and may become another connection's
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._tell(may_send=False)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._tell(may_send=True)

    def _tell(self, *, may_send: bool) -> None:
        if self._on_change is not None:
            self._on_change(may_send)


class WebSocket:
    """A `fanout.ports.socket.Socket` over a server connection of the library."""

    __slots__ = ("_connection",)

    def __init__(self, connection: _Connection) -> None:
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

    def lend(self, on_change: Callable[[bool], None]) -> int | None:
        """Lend the descriptor."""
        return self._connection.lend(on_change)

    async def receive(self) -> str | bytes:
        """The next message."""
        try:
            return await self._connection.recv()
        except ConnectionClosed as error:
            raise SocketClosed from error

    async def close(self, code: int, reason: str) -> None:
        """Close, and cut off a client that does not take the close frame in time."""
        self._connection.take_back()
        try:
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await self._connection.close(code, reason.encode()[:MAX_REASON].decode(errors="ignore"))
        except TimeoutError:
            self._connection.transport.abort()


class _BoundedReads(asyncio.BufferedProtocol):
    """Stands between the transport and the library, which by itself parses 256 KiB in one go and answers each ping.

    So one client's flood of tiny frames costs the others a moment in each turn and not seconds, and leaves few frames
    waiting. A client that does not read the answers to its pings is cut off.

    Args:
        max_unread: bytes that may wait for the client to read them.
        held: it is in there while it is connected.
        arguments: of the library's connection.
        options: of the library's connection.
    """

    _buffer: Final = memoryview(bytearray(READ_AT_ONCE))  # read and parsed in one step, so all may share it

    def __init__(self, max_unread: int, held: "set[_BoundedReads]", *arguments: Any, **options: Any) -> None:
        self._max_unread = max_unread
        self._held = held
        self._connection = _Connection(*arguments, **options)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._held.add(self)
        self._connection.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._held.discard(self)
        self._connection.connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the loop's wish; ours is smaller
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        transport = self._connection.transport
        self._connection.data_received(bytes(self._buffer[:nbytes]))
        if transport.get_write_buffer_size() > self._max_unread:
            log.info("client cut off: it does not read its answers")
            transport.abort()
        elif nbytes == READ_AT_ONCE:
            transport.pause_reading()  # the loop would read on at once
            self._connection.loop.call_soon(self._read_on)

    def eof_received(self) -> None:
        self._connection.eof_received()

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()

    def give_up_opening(self) -> None:
        """Cut off a client that has not finished the handshake."""
        if self._connection.protocol.state is State.CONNECTING:
            self._connection.transport.abort()

    def _read_on(self) -> None:
        if not (self._connection.recv_messages.paused or self._connection.transport.is_closing()):
            self._connection.transport.resume_reading()


def _refuse_other_paths(connection: ServerConnection, request: Request) -> Response | None:
    if request.path.partition("?")[0] != PATH:
        return connection.respond(404, f"WebSockets are served at {PATH}\n")
    return None


@asynccontextmanager
async def serving_websockets(
    handler: SocketHandler, host: str, port: int, *, max_frame: int, max_unread: int
) -> AsyncIterator[int]:
    """Serve clients for the length of the context.

    Args:
        handler: serves one connection; when it returns, the connection is closed.
        host: to listen on.
        port: to listen on; 0 is any free one.
        max_frame: bytes of the largest message from a client; a larger one closes with 1009.
        max_unread: bytes that may wait for a client, what the handler writes included; one that goes on sending
            beyond it is cut off.

    Yields:
        the port. Leaving takes no new clients, cuts off those in the handshake, and waits for the handlers; close the
        sockets before.

    Raises:
        OSError: the address cannot be listened on.
    """

    async def serve_one(connection: ServerConnection) -> None:
        await handler(WebSocket(cast("_Connection", connection)))

    held: set[_BoundedReads] = set()

    def connect(*arguments: Any, **options: Any) -> _BoundedReads:
        return _BoundedReads(max_unread, held, *arguments, **options)

    server = await _listen(serve_one, connect, host, port, max_frame)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close(close_connections=False)
        for connection in list(held):
            connection.give_up_opening()
        await server.wait_closed()


async def _listen(
    serve_one: Callable[[ServerConnection], Awaitable[None]],
    connect: Callable[..., _BoundedReads],
    host: str,
    port: int,
    max_frame: int,
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
        write_limit=0,  # so that `pause_writing` and `resume_writing` tell exactly whether anything is buffered
        create_connection=connect,  # type: ignore[arg-type]  # what the event loop calls, not what handlers get
        backlog=BACKLOG,
    )
