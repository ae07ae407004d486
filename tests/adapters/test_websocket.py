"""The WebSocket server against clients that mean no good."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from stat import S_ISSOCK
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.server import ServerProtocol

from fanout import text_frame
from fanout.error_codes import CloseCode
from fanout.ports.socket import Socket, SocketClosed
from services.adapters.websocket import READ_AT_ONCE, serving_websockets
from services.adapters.websocket.connection import CLOSE_WITHIN_S, MOST_FRAGMENTS
from services.adapters.websocket.server import READERS_AT_ONCE
from tests.support.clients import handshake
from tests.support.listening import listener
from tests.support.observing import until

MAX_FRAME = 64 * 1024
MAX_UNREAD = 256 * 1024
PING = b"\x89\x80\0\0\0\0"
LONG_PING = b"\x89\xfd\0\0\0\0" + b"x" * 125
TEXT = b"\x81\x81\0\0\0\0x"


class Handler:
    """Reads what comes, until the client goes."""

    def __init__(self) -> None:
        self.sockets: list[Socket] = []
        self.received: list[str | bytes] = []
        self.gone = asyncio.Event()

    async def __call__(self, socket: Socket) -> None:
        self.sockets.append(socket)
        socket.allow_large_messages()
        try:
            while True:
                self.received.append(await socket.receive())
        except SocketClosed:
            self.gone.set()


@asynccontextmanager
async def raw_client(port: int) -> AsyncIterator[asyncio.StreamWriter]:
    """A client that has done the handshake and never reads again."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(handshake())
    assert b"101" in await reader.readuntil(b"\r\n\r\n")
    try:
        yield writer
    finally:
        writer.transport.abort()


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    async with serving_websockets(handler, listener(), max_frame=MAX_FRAME, max_unread=MAX_UNREAD) as port:
        yield port


async def test_messages_of_every_size_arrive_whole() -> None:
    handler = Handler()
    sent: list[str | bytes] = ["x" * length for length in (0, 1, 125, 126, 1023, 1024, 1025, 5000, MAX_FRAME)]
    async with serving(handler) as port, connect(f"ws://127.0.0.1:{port}/ws") as client:
        for message in sent:
            await client.send(message)
        await client.send(["in ", "fragments"])
        await client.close()
        await handler.gone.wait()
    assert handler.received == [*sent, "in fragments"]


@pytest.mark.parametrize("frame", [PING, TEXT], ids=["pings", "messages"])
async def test_a_flood_of_tiny_frames_leaves_the_others_their_turn(
    frame: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = [0]  # bytes, by turn of the loop
    parse = ServerProtocol.receive_data

    def counted(protocol: ServerProtocol, data: bytes) -> None:
        parsed[-1] += len(data)
        parse(protocol, data)

    async with serving(Handler()) as port, raw_client(port) as hostile:
        monkeypatch.setattr(ServerProtocol, "receive_data", counted)
        hostile.write(frame * 200_000)
        for _ in range(200):
            parsed.append(0)
            await asyncio.sleep(0)
        assert 0 < max(parsed) <= 2 * READ_AT_ONCE  # the loop may read on just before it is this task's turn


async def test_a_flood_from_many_clients_is_read_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []  # bytes, by turn of the loop
    parse = ServerProtocol.receive_data

    def counted(protocol: ServerProtocol, data: bytes) -> None:
        parsed[-1] += len(data)
        parse(protocol, data)

    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serving(Handler()))
        flood = [await stack.enter_async_context(raw_client(port)) for _ in range(60)]
        quiet = await stack.enter_async_context(connect(f"ws://127.0.0.1:{port}/ws", ping_interval=None))
        for hostile in flood:
            hostile.write(PING * 20_000)
        for _ in range(20):  # each is found readable once before it waits for its turn
            await asyncio.sleep(0)
        parsed.append(0)
        monkeypatch.setattr(ServerProtocol, "receive_data", counted)
        for _ in range(300):
            parsed.append(0)
            await asyncio.sleep(0)
        assert 0 < max(parsed) <= 2 * (READERS_AT_ONCE + 1) * READ_AT_ONCE
        await (await quiet.ping())


async def test_a_client_that_does_not_read_its_pongs_is_cut_off() -> None:
    handler = Handler()
    async with serving(handler) as port, raw_client(port) as hostile:
        hostile.transport.pause_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(20):
            while not handler.gone.is_set():
                hostile.write(LONG_PING * 500)
                try:
                    await hostile.drain()
                except ConnectionError:
                    break
                await asyncio.sleep(0)
            await handler.gone.wait()
        assert handler.sockets[0].buffered <= MAX_UNREAD + 1024


async def test_a_socket_is_drained_when_the_client_has_read() -> None:
    handler = Handler()
    async with serving(handler) as port:
        client = await connect(f"ws://127.0.0.1:{port}/ws", ping_interval=None, max_queue=1)
        await until(lambda: bool(handler.sockets))
        socket = handler.sockets[0]
        await socket.drained()
        client.transport.pause_reading()
        while not socket.buffered:
            socket.write(text_frame(b"x" * 100_000))
        draining = [asyncio.create_task(socket.drained()) for _ in range(2)]
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in draining)
        client.transport.resume_reading()
        reading = asyncio.create_task(_read_on(client))
        await asyncio.gather(*draining)
        assert not socket.buffered
        client.transport.abort()
        await reading
        await handler.gone.wait()
        with pytest.raises(SocketClosed):
            await socket.drained()


async def test_who_waits_for_a_socket_to_drain_hears_that_it_closes() -> None:
    handler = Handler()
    async with serving(handler) as port, raw_client(port) as silent:
        silent.transport.pause_reading()  # type: ignore[attr-defined]
        await until(lambda: bool(handler.sockets))
        socket = handler.sockets[0]
        while not socket.buffered:
            socket.write(text_frame(b"x" * 100_000))
        draining = asyncio.create_task(socket.drained())
        await asyncio.sleep(0)
        closing = asyncio.create_task(socket.close(1012, "draining"))
        with pytest.raises(SocketClosed):
            await draining
        silent.transport.abort()
        await closing


async def _read_on(client: ClientConnection) -> None:
    with suppress(ConnectionClosed):
        while True:
            await client.recv()


async def test_a_lent_descriptor_is_taken_back_while_it_is_open() -> None:
    handler = Handler()
    told: list[tuple[bool, bool]] = []
    async with serving(handler) as port, raw_client(port) as client:
        await until(lambda: bool(handler.sockets))

        def on_change(may_send: bool) -> None:  # noqa: FBT001 - as the port has it
            told.append((may_send, S_ISSOCK(os.fstat(descriptor or -1).st_mode)))

        descriptor = handler.sockets[0].acquire_descriptor(on_change)
        assert descriptor is not None
        client.transport.abort()
        await handler.gone.wait()
        assert told == [(False, True)]
        assert handler.sockets[0].acquire_descriptor(on_change) is None


async def test_a_reason_of_any_characters_closes() -> None:
    handler = Handler()
    async with serving(handler) as port, connect(f"ws://127.0.0.1:{port}/ws") as client:
        await client.send("hello")
        await until(lambda: handler.received == ["hello"])
        await handler.sockets[0].close(4400, "\N{GRINNING FACE}" * 60)
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 4400
        assert client.close_reason == "\N{GRINNING FACE}" * 30


async def test_a_client_in_the_handshake_does_not_hold_up_the_end() -> None:
    async with asyncio.timeout(3):
        async with serving(Handler()) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /ws HTTP/1.1\r\n")
            await asyncio.sleep(0.05)
        writer.close()


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (b"\x81\x82\0\0\0\0\xff\xff", CloseCode.NOT_TEXT),
        (b"\x01\x81\0\0\0\0x\x81\x81\0\0\0\0y", CloseCode.PROTOCOL_ERROR),
        (b"\x80\x81\0\0\0\0x", CloseCode.PROTOCOL_ERROR),
        (b"\x81\x01x", CloseCode.PROTOCOL_ERROR),
        (b"\x81\xff\0\0\0\0\0\x01\0\x01\0\0\0\0", CloseCode.TOO_BIG),
    ],
    ids=["no text", "a message within another", "a fragment of nothing", "unmasked", "too long"],
)
async def test_what_the_protocol_forbids_ends_the_connection_with_its_code(frames: bytes, code: CloseCode) -> None:
    handler = Handler()
    async with serving(handler) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(handshake())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frames)
        answer = await reader.read()
        assert answer[:1] == b"\x88"
        assert int.from_bytes(answer[2:4], "big") == code
        writer.close()
        await handler.gone.wait()


EMPTY_FRAGMENT = b"\x00\x80\0\0\0\0"


async def test_a_message_of_endless_fragments_is_refused() -> None:
    handler = Handler()
    async with serving(handler) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(handshake() + b"\x01\x80\0\0\0\0" + EMPTY_FRAGMENT * (MOST_FRAGMENTS - 2))
        writer.write(b"\x80\x81\0\0\0\0x")
        await until(lambda: handler.received == ["x"])
        writer.write(b"\x01\x80\0\0\0\0" + EMPTY_FRAGMENT * MOST_FRAGMENTS)
        await reader.readuntil(b"\r\n\r\n")
        answer = await reader.read()
        assert (answer[:1], answer[2:4]) == (b"\x88", b"\x03\xf1")
        writer.close()
        await handler.gone.wait()


async def test_a_client_that_half_closes_and_does_not_read_is_ended() -> None:
    handler = Handler()
    async with serving(handler) as port, raw_client(port) as client:
        client.transport.pause_reading()  # type: ignore[attr-defined]
        await until(lambda: bool(handler.sockets))
        while not handler.sockets[0].buffered:
            handler.sockets[0].write(text_frame(b"x" * 60_000))
        client.write_eof()
        await asyncio.wait([asyncio.create_task(handler.gone.wait())], timeout=CLOSE_WITHIN_S)
        await handler.sockets[0].close(1000, "")
        assert handler.sockets[0].buffered == 0


async def test_who_is_closed_is_not_heard_any_more() -> None:
    handler = Handler()
    async with serving(handler) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(handshake() + TEXT)
        await until(lambda: handler.received == ["x"])
        closing = asyncio.create_task(handler.sockets[0].close(4401, "enough"))
        for _ in range(20):
            writer.write(TEXT * 10)
            await asyncio.sleep(0.005)
        assert handler.gone.is_set()
        writer.close()
        await closing
        assert handler.received == ["x"]
        await reader.read()


@pytest.mark.parametrize("path", [b"/ws", b"/elsewhere"])
@pytest.mark.parametrize("follows", [b"\x88\x80\0\0\0\0", b"\x81\x01x", b"\xff"], ids=["close", "unmasked", "cut"])
async def test_what_comes_with_the_request_does_no_harm(
    path: bytes, follows: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(Handler()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(handshake().replace(b"/ws", path) + follows)
        writer.write_eof()
        with suppress(ConnectionResetError):
            await reader.read()
        writer.close()
        async with connect(f"ws://127.0.0.1:{port}/ws") as client:
            await client.send("hello")
    assert not caplog.records


async def test_the_end_of_a_connection_has_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = Handler()
    timers: list[float] = []
    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def counted(delay: float, *arguments: Any) -> asyncio.TimerHandle:
        timers.append(delay)
        return call_later(delay, *arguments)

    async with serving(handler) as port, raw_client(port) as client:
        await until(lambda: bool(handler.sockets))
        monkeypatch.setattr(loop, "call_later", counted)
        client.write(b"\x81\x01x")
        for _ in range(200):
            client.write(TEXT * 100)
            await asyncio.sleep(0)
        await handler.gone.wait()
        assert timers.count(CLOSE_WITHIN_S) == 1


async def test_a_handler_that_fails_or_ends_closes_its_connection() -> None:
    failures = [True, False]

    async def handler(_: Socket) -> None:
        if failures.pop(0):
            raise RuntimeError("on purpose")

    async with serving_websockets(handler, listener(), max_frame=MAX_FRAME, max_unread=MAX_UNREAD) as port:
        for code in (1011, 1000):
            async with connect(f"ws://127.0.0.1:{port}/ws") as client:
                with pytest.raises(ConnectionClosed):
                    await client.recv()
                assert client.close_code == code


async def test_other_requests_are_answered_as_http() -> None:
    async with serving(Handler()) as port:
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{port}/elsewhere")
        assert refused.value.response.status_code == 404
        for request, status in ((b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n", b"426"), (b"nonsense\r\n\r\n", b"")):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            assert (await reader.read()).split(b" ")[1:2] == [status][: len(status)]
            writer.close()


async def test_a_handler_that_does_not_receive_holds_its_client_back() -> None:
    go_on = asyncio.Event()
    received: list[str | bytes] = []

    async def handler(socket: Socket) -> None:
        socket.allow_large_messages()
        await go_on.wait()
        received.extend([await socket.receive() for _ in range(600)])

    async with (
        serving_websockets(handler, listener(), max_frame=MAX_FRAME, max_unread=MAX_UNREAD) as port,
        connect(f"ws://127.0.0.1:{port}/ws") as client,
    ):
        sending = asyncio.create_task(_send(client, 600))
        await asyncio.sleep(0.2)
        assert not sending.done()
        go_on.set()
        await sending
        with pytest.raises(ConnectionClosed):
            await client.recv()
    assert received == [f"{number} {'x' * 60_000}" for number in range(600)]


async def _send(client: ClientConnection, count: int) -> None:
    for number in range(count):
        await client.send(f"{number} {'x' * 60_000}")
