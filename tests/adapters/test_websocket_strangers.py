"""The WebSocket server before a client is known, and where it listens."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidMessage

from fanout.ports.socket import Socket, SocketClosed
from services.adapters.websocket import server, serving_websockets
from services.adapters.websocket.connection import FIRST_MESSAGE
from tests.support.listening import listener
from tests.support.observing import until
from tests.support.reading import until as eventually

MAX_FRAME = 64 * 1024
MAX_UNREAD = 256 * 1024


class Handler:
    """Reads what comes, and knows nobody."""

    def __init__(self) -> None:
        self.sockets: list[Socket] = []
        self.received: list[str | bytes] = []
        self.gone = asyncio.Event()

    async def __call__(self, socket: Socket) -> None:
        self.sockets.append(socket)
        try:
            while True:
                self.received.append(await socket.receive())
        except SocketClosed:
            self.gone.set()


@asynccontextmanager
async def serving(handler: Handler, host: str = "127.0.0.1") -> AsyncIterator[int]:
    async with serving_websockets(handler, listener(host), max_frame=MAX_FRAME, max_unread=MAX_UNREAD) as port:
        yield port


@pytest.mark.parametrize("fragments", [1, 3])
@pytest.mark.parametrize("size", [FIRST_MESSAGE, FIRST_MESSAGE + 1, MAX_FRAME])
async def test_who_is_not_known_sends_little(size: int, fragments: int) -> None:
    handler = Handler()
    text = "x" * size
    step = -(-size // fragments)
    async with serving(handler) as port, connect(f"ws://127.0.0.1:{port}/ws") as client:
        with suppress(ConnectionClosed):
            await client.send([text[at : at + step] for at in range(0, size, step)])
            await (client.close() if size <= FIRST_MESSAGE else client.wait_closed())
        await handler.gone.wait()
        assert (handler.received, client.close_code) == (([text], 1000) if size <= FIRST_MESSAGE else ([], 1009))


async def test_the_next_message_may_be_large_as_soon_as_the_client_is_known() -> None:
    handler = Handler()
    async with serving(handler) as port, connect(f"ws://127.0.0.1:{port}/ws") as client:
        await client.send("first")
        await until(lambda: bool(handler.received))
        handler.sockets[0].allow_large_messages()
        await client.send("x" * MAX_FRAME)
        await until(lambda: len(handler.received) == 2)
        with suppress(ConnectionClosed):
            await client.send("x" * (MAX_FRAME + 1))
        await client.wait_closed()
        assert client.close_code == 1009


async def test_connections_in_the_handshake_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_OPENING", 3)
    async with serving(Handler()) as port, AsyncExitStack() as stack:
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        for _, writer in idle:
            stack.callback(writer.close)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        stack.callback(writer.close)
        with suppress(ConnectionError):
            assert await reader.read() == b""
        idle[0][1].close()

        async def let_in() -> bool | None:
            with suppress(OSError, InvalidMessage):
                async with connect(f"ws://127.0.0.1:{port}/ws", ping_interval=None):
                    return True
            return None

        await eventually(let_in)


async def test_an_ipv6_wildcard_takes_ipv4_as_well() -> None:
    async with serving(Handler(), "::") as port:
        for host in ("127.0.0.1", "[::1]"):
            async with connect(f"ws://{host}:{port}/ws") as client:
                await (await client.ping())
