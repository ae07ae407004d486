import asyncio
import signal
import socket
from typing import Any, cast

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from fanout.errors import Unavailable
from services.runtime.health import Health
from services.runtime.http import serve_http
from services.runtime.settings import Address, ConfigurationError
from services.runtime.web import health_app

ANY = Address("127.0.0.1", 0)


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def test_it_serves_on_the_port_that_it_tells() -> None:
    async with serve_http(hello, ANY) as address, httpx.AsyncClient() as http:
        assert (await http.get(f"http://{address}/")).text == "hello"
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*address)


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


async def test_the_face_of_a_process_without_rest() -> None:
    up = True

    async def check() -> None:
        if not up:
            raise Unavailable("gone")

    health, registry = Health(), CollectorRegistry()
    health.add("log", check)
    Counter("things", "Things counted", registry=registry).inc()
    transport = httpx.ASGITransport(cast("Any", health_app(health, registry)))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        assert (await http.get("/healthz")).json() == {"status": "ok"}
        assert (await http.get("/readyz")).json() == {"ready": True, "checks": {"log": "ok"}}
        metrics = await http.get("/metrics")
        assert "things_total 1.0" in metrics.text
        assert metrics.headers["content-type"].count("charset") == 1
        up = False
        response = await http.get("/readyz")
        assert (response.status_code, response.json()["checks"]) == (503, {"log": "Unavailable"})
        missing = await http.get("/api/v1/channels.list")
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
