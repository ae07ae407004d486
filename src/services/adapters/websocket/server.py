"""Listening for clients."""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog
from websockets.server import ServerProtocol

from fanout.ports.socket import SocketHandler
from services.adapters.websocket.connection import WebSocketConnection

log = structlog.get_logger(__name__)

BACKLOG: Final = 4096
MOST_OPENING: Final = 2 * BACKLOG
"""Connections that may be in the handshake; the next one is disconnected."""
READERS_AT_ONCE: Final = 8
"""How many of the clients that send without pause are read in one turn of the event loop. The other clients are then
delayed equally, however many of them there are."""
_GONE: Final = 1000
_FAILED: Final = 1011


class _Server:
    """Every connection, and a task for each that is open."""

    def __init__(self, handler: SocketHandler, *, max_frame: int, max_unread: int) -> None:
        self.max_unread = max_unread
        self._handler = handler
        self._max_frame = max_frame
        self._logger = logging.getLogger("websockets.server")
        self._connections: set[WebSocketConnection] = set()
        self._opening: set[WebSocketConnection] = set()  # until their handshake is done
        self._serving: set[asyncio.Task[None]] = set()
        self._readers: deque[WebSocketConnection] = deque()
        self._ending = False
        self._cut_off = 0

    def connect(self) -> WebSocketConnection:
        """Make the protocol of a new connection."""
        return WebSocketConnection(ServerProtocol(max_size=self._max_frame, logger=self._logger), self)

    def came(self, connection: WebSocketConnection) -> None:
        self._connections.add(connection)
        self._opening.add(connection)
        if len(self._opening) > MOST_OPENING:
            self._note_cut_off()
            connection.give_up_opening()
        elif self._ending:  # accepted just before listening ended
            connection.give_up_opening()

    def _note_cut_off(self) -> None:
        self._cut_off += 1
        if self._cut_off.bit_count() == 1:  # at each power of two, so that the log stays readable
            log.warning("clients disconnected: too many are in the handshake", disconnected_in_all=self._cut_off)

    def opened(self, connection: WebSocketConnection) -> None:
        self._opening.discard(connection)
        task = asyncio.get_running_loop().create_task(self._serve(connection))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    def went(self, connection: WebSocketConnection) -> None:
        self._connections.discard(connection)
        self._opening.discard(connection)

    def read_on_later(self, connection: WebSocketConnection) -> None:
        self._readers.append(connection)
        if len(self._readers) == 1:
            asyncio.get_running_loop().call_soon(self._let_some_read)

    def _let_some_read(self) -> None:
        for _ in range(min(READERS_AT_ONCE, len(self._readers))):
            self._readers.popleft().read_on()
        if self._readers:
            asyncio.get_running_loop().call_soon(self._let_some_read)

    async def end(self) -> None:
        """Disconnect clients in the handshake, and wait for the handlers of the others."""
        self._ending = True
        for connection in list(self._connections):
            connection.give_up_opening()
        if self._serving:
            await asyncio.wait(set(self._serving))

    async def _serve(self, connection: WebSocketConnection) -> None:
        code = _FAILED
        try:
            await self._handler(connection)
            code = _GONE
        except Exception:
            log.exception("the handler of a client failed")
        finally:
            await connection.close(code, "")


@asynccontextmanager
async def serving_websockets(
    handler: SocketHandler, listener: socket.socket, *, max_frame: int, max_unread: int
) -> AsyncIterator[int]:
    """Serve clients for the length of the context.

    Args:
        handler: serves one connection; when it returns, the connection is closed.
        listener: listens already; it is closed when the context is left.
        max_frame: bytes of the largest message from a client; a larger one closes with 1009. Until the handler calls
            `allow_large_messages` it is `FIRST_MESSAGE`.
        max_unread: bytes that may wait for a client, what the handler writes included; one that goes on sending
            beyond it is disconnected.

    Yields:
        the port. Leaving the context accepts no new clients, disconnects those in the handshake, and waits for the
        handlers. The caller closes the sockets before, so that the handlers end.
    """
    server = _Server(handler, max_frame=max_frame, max_unread=max_unread)
    listening = await asyncio.get_running_loop().create_server(server.connect, sock=listener, backlog=BACKLOG)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        await server.end()
        await listening.wait_closed()
