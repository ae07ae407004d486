import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable
from typing import Any, cast

import httpx
import pytest
import uvicorn

from services.runtime.http import serve_http
from services.runtime.http_protocol import MAX_HEAD, MAX_PIPELINED, STALLED_READERS, BoundedProtocol
from services.runtime.settings import Address, ConfigurationError
from tests.support.observing import until

ANY = Address("127.0.0.1", 0)


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def test_it_serves_on_the_port_that_it_tells() -> None:
    async with serve_http(hello, ANY) as address, httpx.AsyncClient() as http:
        assert (await http.get(f"http://{address}/")).text == "hello"
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*address)


async def test_serving_that_ends_by_itself_is_told_once_and_stopping_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[BaseException] = []

    async def fail(_server: uvicorn.Server) -> None:
        await asyncio.sleep(0.05)  # after it has started
        raise LookupError("a fault of the server")

    async with serve_http(hello, ANY, on_failure=failures.append):
        pass
    assert failures == []
    monkeypatch.setattr(uvicorn.Server, "main_loop", fail)
    with pytest.raises(LookupError):
        async with serve_http(hello, ANY, on_failure=failures.append):
            await until(lambda: bool(failures), "it is told")
    assert [str(failure) for failure in failures] == ["a fault of the server"]


async def test_signals_stay_with_the_process() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    async with serve_http(hello, ANY):
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


async def test_small_packets_are_not_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio turns Nagle's delay off only on sockets that say they are TCP."""
    accepted: list[socket.socket] = []
    accept = socket.socket.accept

    def keeping(listener: socket.socket) -> tuple[socket.socket, Any]:
        connection, peer = accept(listener)
        accepted.append(connection)
        return connection, peer

    monkeypatch.setattr(socket.socket, "accept", keeping)
    delays: list[int] = []

    async def look(scope: Any, receive: Any, send: Any) -> None:
        delays.extend(1 - each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for each in accepted)
        await hello(scope, receive, send)

    async with serve_http(look, ANY) as address, httpx.AsyncClient() as http:
        await http.get(f"http://{address}/")
    assert delays == [0]


async def test_a_taken_port_is_a_configuration_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(ConfigurationError, match=str(address.port)):
            async with serve_http(hello, address):
                pytest.fail("served on a taken port")


async def test_a_request_in_hand_is_answered_before_the_end() -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        await may_end.wait()
        await hello(scope, receive, send)

    async with httpx.AsyncClient() as http:
        async with serve_http(slow, ANY) as address:
            asking = asyncio.create_task(http.get(f"http://{address}/"))
            await begun.wait()
            asyncio.get_running_loop().call_later(0.2, may_end.set)
        assert (await asking).text == "hello"


async def test_a_request_that_never_ends_is_cancelled() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def stuck(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with httpx.AsyncClient() as http:
        async with serve_http(stuck, ANY, grace_s=1) as address:
            asking = asyncio.create_task(http.get(f"http://{address}/"))
            await begun.wait()
        await ended.wait()
        with pytest.raises(httpx.HTTPError):
            (await asking).raise_for_status()


CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"


async def whole(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await hello(scope, receive, send)


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: ", b"x" * 16_384),
        (b"GET / HTTP/1.1\r\nHost: h\r\n", b"a: b\r\n" * 2_000),
        (b"GET /", b"x" * 16_384),
        (CHUNKED, b"a: b\r\n" * 2_000),
        (CHUNKED + b"X: ", b"x" * 16_384),
    ],
    ids=["header", "headers", "path", "trailers", "trailer"],
)
async def test_a_head_without_end_is_refused(start: bytes, piece: bytes) -> None:
    async with serve_http(whole, ANY) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(start)
        sent = 0
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof() and sent < 100 * MAX_HEAD:
                writer.write(piece)
                sent += len(piece)
                await writer.drain()
                await asyncio.sleep(0)
            answer = await reader.read()
            assert start.startswith(CHUNKED) or answer.startswith(b"HTTP/1.1 431 ")
        writer.close()
    assert sent < 100 * MAX_HEAD


async def test_a_large_head_in_bounds_and_a_large_body_are_taken() -> None:
    async with serve_http(whole, ANY) as address, httpx.AsyncClient() as http:
        for _ in range(3):
            response = await http.post(
                f"http://{address}/", headers={"X": "x" * (MAX_HEAD // 2)}, content=b"x" * 20 * MAX_HEAD
            )
            assert response.text == "hello"


@pytest.mark.parametrize(
    "start",
    [b"", b"\r\n", b"GET / HTTP/1.1\r\nHo", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc"],
    ids=["nothing", "blank", "head", "body"],
)
async def test_a_request_that_does_not_arrive_is_not_waited_for(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedProtocol, "request_within_s", 0.2)
    async with serve_http(whole, ANY) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(start)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()


async def test_the_answer_to_a_request_may_take_longer_than_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedProtocol, "request_within_s", 0.1)

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.4)
        await hello(scope, receive, send)

    async with serve_http(slow, ANY) as address, httpx.AsyncClient() as http:
        for _ in range(2):
            assert (await http.get(f"http://{address}/")).text == "hello"


LARGE = b"x" * 8_000_000
"""More than the operating system takes for a client that does not read."""
ASK = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


async def large(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": LARGE})


def stop_reading(writer: asyncio.StreamWriter) -> None:
    cast("asyncio.ReadTransport", writer.transport).pause_reading()


@pytest.fixture
def cut_off() -> Callable[[], float]:
    """How many clients were cut off since the test began."""
    before = STALLED_READERS._value.get()
    return lambda: STALLED_READERS._value.get() - before


@pytest.mark.parametrize("asked", [ASK, ASK * 3, ASK[:-2] + b"Connection: close\r\n\r\n"], ids=["one", "more", "last"])
async def test_a_client_that_does_not_read_is_cut_off(
    asked: bytes, cut_off: Callable[[], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedProtocol, "stalled_after_s", 0.1)
    async with serve_http(large, ANY) as address:
        reader, writer = await asyncio.open_connection(*address)
        stop_reading(writer)
        writer.write(asked)
        await until(lambda: cut_off() == 1, "the client is cut off")
        cast("asyncio.ReadTransport", writer.transport).resume_reading()
        with contextlib.suppress(ConnectionError):
            while await reader.read(1 << 20):
                pass
        assert reader.at_eof() or reader.exception()
        writer.close()


async def test_a_client_that_leaves_the_end_unread_is_cut_off(
    cut_off: Callable[[], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing alone waits for the client without end, and what waits is too little for the transport to pause."""
    monkeypatch.setattr(BoundedProtocol, "stalled_after_s", 0.1)
    protocols: list[BoundedProtocol] = []
    made = BoundedProtocol.connection_made

    def keeping(protocol: BoundedProtocol, transport: asyncio.Transport) -> None:
        made(protocol, transport)
        protocols.append(protocol)

    monkeypatch.setattr(BoundedProtocol, "connection_made", keeping)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        unread = protocols[0].transport.get_write_buffer_size
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not unread():
            await send({"type": "http.response.body", "body": b"x" * 1_000, "more_body": True})
        await send({"type": "http.response.body", "body": b"the end"})

    async with serve_http(app, ANY) as address:
        _, writer = await asyncio.open_connection(*address)
        stop_reading(writer)
        writer.write(ASK)
        await until(lambda: cut_off() == 1, "the client is cut off")
        assert protocols[0].transport.is_closing()
        assert not protocols[0].flow.write_paused
        writer.close()


async def test_a_client_that_reads_gets_all(cut_off: Callable[[], float]) -> None:
    async with serve_http(large, ANY) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(ASK * 2)
        received = 0
        while received < 2 * len(LARGE):
            received += len(await reader.read(1 << 20))
        writer.close()
    assert cut_off() == 0


@pytest.mark.parametrize("pipelined", [1, 3])
async def test_the_application_hears_that_the_client_of_a_pipelined_request_is_gone(pipelined: int) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def listening(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        await hello(scope, receive, send)  # which is not written
        ended.set()

    async with serve_http(listening, ANY) as address:
        _, writer = await asyncio.open_connection(*address)
        writer.write(ASK * pipelined)
        await begun.wait()
        writer.transport.abort()
        await until(ended.is_set, "the application has heard")


async def test_no_more_than_two_answers_wait_for_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = 0

    async def counted(scope: Any, receive: Any, send: Any) -> None:
        nonlocal begun
        begun += 1
        await large(scope, receive, send)

    async with serve_http(counted, ANY, grace_s=1) as address:
        _, writer = await asyncio.open_connection(*address)
        stop_reading(writer)
        for _ in range(20):
            writer.write(ASK * 10)
            await asyncio.sleep(0.01)
        await until(lambda: begun == 2, "the second waits")
        await asyncio.sleep(0.2)
        assert begun == 2
        writer.transport.abort()


LAST = ASK[:-2] + b"Connection: close\r\n\r\n"


async def test_as_many_requests_as_may_wait_for_one_are_answered() -> None:
    async with serve_http(hello, ANY) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(ASK * MAX_PIPELINED + LAST)
        assert (await reader.read()).count(b"hello") == MAX_PIPELINED + 1
        writer.close()


async def test_more_requests_than_may_wait_for_one_end_the_connection() -> None:
    begun = 0

    async def stuck(scope: Any, receive: Any, send: Any) -> None:
        nonlocal begun
        begun += 1
        await asyncio.Event().wait()

    async with serve_http(stuck, ANY, grace_s=1) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(ASK * (MAX_PIPELINED + 2))
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        assert begun == 1
        writer.close()
