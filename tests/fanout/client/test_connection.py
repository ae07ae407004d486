"""The asyncio client against a server that follows scripts."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from fanout import InvalidId
from fanout.client import (
    AuthOk,
    CatchupComplete,
    ClientClosed,
    ClientSettings,
    Delays,
    Device,
    DeviceDeregistered,
    Disconnected,
    Event,
    HeartbeatOk,
    InvalidAddress,
    MessageNew,
    Pong,
    ProtocolViolation,
    ResumePoint,
    TokenRefused,
)
from fanout.client.connection import Client
from tests.support.following import settle
from tests.support.model_server import DEVICE_ID
from tests.support.observing import until
from tests.support.scripted_server import COMPLETE, MESSAGE, WELCOME, Dialogue, deregistered, serving

AT_ONCE = ClientSettings(delays=Delays(0.0, 0.0))
MESSAGE_ID = "msg_01JD5T6Q9FZ0Y4W3V2B1N0M8K7"


def client_of(url: str, **options: Any) -> Client:
    return Client(url, options.pop("token", "a-token"), Device(DEVICE_ID), **{"settings": AT_ONCE} | options)


async def all_of(client: Client) -> list[Event]:
    """Everything until the server ends the client for good."""
    events: list[Event] = []

    async def collect() -> None:
        async for event in client:
            events.append(event)  # noqa: PERF401 - a comprehension would lose them where it raises

    with pytest.raises(DeviceDeregistered):
        await collect()
    return events


async def test_it_resumes_where_it_was_after_a_drop() -> None:
    async def first(dialogue: Dialogue) -> None:
        assert dialogue.auth["token"] == "a-token"
        assert "resume" not in dialogue.auth
        await dialogue.send(WELCOME, {"type": "heartbeat.ok", "seq": 6}, MESSAGE)
        await dialogue.close(1012, "draining; reconnect with jitter")

    async def second(dialogue: Dialogue) -> None:
        assert dialogue.auth["resume"] == {"seq": 6, "parts": {"3": 7}, "log": "log-1"}
        await dialogue.send(WELCOME, MESSAGE, COMPLETE)
        await dialogue.close(4409, "deregistered")

    async with serving(first, second) as url, client_of(url) as client:
        kinds = [type(event) for event in await all_of(client)]
    assert kinds == [AuthOk, HeartbeatOk, MessageNew, Disconnected, AuthOk, CatchupComplete]


async def test_a_connection_that_breaks_is_made_again() -> None:
    async def breaks(dialogue: Dialogue) -> None:
        await dialogue.send(WELCOME)
        dialogue.drop()

    async with serving(breaks, deregistered) as url, client_of(url) as client:
        welcome, lost = await all_of(client)
    assert isinstance(welcome, AuthOk)
    assert lost == Disconnected(reason="the connection broke", retry_in_s=0.0)


async def test_the_point_is_that_of_the_events_which_the_program_has_taken() -> None:
    async def script(dialogue: Dialogue) -> None:
        await dialogue.send(WELCOME, MESSAGE, MESSAGE | {"seq": 8})
        await dialogue.close(4409, "deregistered")

    async with serving(script) as url, client_of(url) as client:
        assert client.resume_point is None
        await client.receive()
        assert client.resume_point == ResumePoint(5, {}, "log-1")
        received = await client.receive()
        assert json.loads(received.text or "") == MESSAGE
        assert client.resume_point == ResumePoint(5, {3: 7}, "log-1")
        await all_of(client)
        assert client.resume_point == ResumePoint(5, {3: 8}, "log-1")


async def test_an_imported_point_is_resumed() -> None:
    async def script(dialogue: Dialogue) -> None:
        assert dialogue.auth["resume"] == {"seq": 3, "parts": {"2": 4}}
        await dialogue.close(4409, "deregistered")

    async with serving(script) as url, client_of(url, resume=ResumePoint(3, {2: 4})) as client:
        assert await all_of(client) == []


async def test_what_the_user_does_is_told() -> None:
    async def script(dialogue: Dialogue) -> None:
        await dialogue.send(WELCOME)
        expected = [
            "mark_read",
            "message.read",
            "typing.start",
            "typing.stop",
            "channel.open",
            "presence.watch",
            "ping",
        ]
        assert [(await dialogue.receive())["type"] for _ in expected] == expected
        await dialogue.send({"type": "pong"})
        states = [await dialogue.until("heartbeat") for _ in range(3)]
        assert [(beat["state"], beat.get("focused_channel")) for beat in states] == [
            ("active", "general"),
            ("background", "general"),
            ("background", None),
        ]
        await dialogue.close(4409, "deregistered")

    async with serving(script) as url, client_of(url) as client:
        assert isinstance(await client.receive(), tuple)
        client.mark_read("general", MESSAGE_ID)
        client.message_read("general", MESSAGE_ID)
        client.typing("general")
        client.typing("general")
        client.stop_typing("general")
        client.open_channel("general")
        client.watch_presence(["bob"])
        client.ping()
        assert (await client.receive()).event == Pong()
        client.interacted()
        client.interacted()
        client.set_state("background")
        client.close_channel()
        await all_of(client)


async def test_heartbeats_are_sent_as_often_as_the_server_asks() -> None:
    async def script(dialogue: Dialogue) -> None:
        await dialogue.send(WELCOME | {"heartbeat_s": 0.01})
        for _ in range(3):
            assert (await dialogue.receive())["type"] == "heartbeat"
            await dialogue.send({"type": "heartbeat.ok", "seq": 5})
        await dialogue.close(4409, "deregistered")

    async with serving(script) as url, client_of(url) as client:
        assert [type(event) for event in await all_of(client)] == [AuthOk, *[HeartbeatOk] * 3]


async def test_a_server_that_does_not_answer_heartbeats_is_left() -> None:
    async def silent(dialogue: Dialogue) -> None:
        await dialogue.send(WELCOME | {"heartbeat_s": 0.01})
        await dialogue.hold()

    soon = ClientSettings(answer_within_s=0.05, delays=Delays(0.0, 0.0))
    async with serving(silent, deregistered) as url, client_of(url, settings=soon) as client:
        _, lost = await all_of(client)
    assert lost == Disconnected(reason="the server does not answer", retry_in_s=0.0)


async def test_a_server_that_does_not_answer_auth_is_left() -> None:
    async def silent(dialogue: Dialogue) -> None:
        await dialogue.hold()

    soon = ClientSettings(auth_within_s=0.05, delays=Delays(0.0, 0.0))
    async with serving(silent, deregistered) as url, client_of(url, settings=soon) as client:
        (lost,) = await all_of(client)
    assert lost == Disconnected(reason="the server did not answer the authentication", retry_in_s=0.0)


async def test_a_slow_program_slows_the_connection_down_and_loses_nothing() -> None:
    seqs = range(10, 2_010)

    async def script(dialogue: Dialogue) -> None:
        await dialogue.send(WELCOME, *(MESSAGE | {"seq": seq} for seq in seqs))
        await dialogue.close(4409, "deregistered")

    few = ClientSettings(queue_size=5, delays=Delays(0.0, 0.0))
    async with serving(script) as url, client_of(url, settings=few) as client:
        await until(lambda: client._queue.is_full)
        await settle()
        assert len(client._queue._waiting) == 5
        assert [event.seq for event in await all_of(client) if isinstance(event, MessageNew)] == list(seqs)


async def test_closing_sends_what_waits() -> None:
    read: list[dict[str, Any]] = []

    async def script(dialogue: Dialogue) -> None:
        await dialogue.send(WELCOME)
        read.append(await dialogue.receive())
        await dialogue.hold()
        assert dialogue.socket.close_code == 1000

    async with serving(script) as url:
        async with client_of(url) as client:
            await client.receive()
            client.mark_read("general", MESSAGE_ID)
        assert [event async for event in client] == []
        with pytest.raises(ClientClosed):
            await client.receive()
        with pytest.raises(ClientClosed):
            client.ping()
        await client.close()
    assert [frame["type"] for frame in read] == ["mark_read"]


async def test_it_is_closed_while_it_waits_to_connect_again() -> None:
    later = ClientSettings(delays=Delays(1e6, 1e6))

    async def full(dialogue: Dialogue) -> None:
        await dialogue.close(1011, "an error")

    async with serving(full) as url, client_of(url, settings=later) as client:
        assert isinstance((await client.receive()).event, Disconnected)


async def test_it_is_closed_while_it_connects() -> None:
    connecting = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connecting.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with client_of(f"http://127.0.0.1:{port}") as client:
            await connecting.wait()
        with pytest.raises(ClientClosed):
            await client.receive()


async def test_without_the_context_nothing_works() -> None:
    client = client_of("ws://127.0.0.1:1/ws")
    with pytest.raises(ClientClosed, match="async with"):
        await client.receive()
    with pytest.raises(ClientClosed):
        client.ping()
    await client.close()


def test_the_device_id_is_checked() -> None:
    with pytest.raises(InvalidId):
        Client("ws://unused", "t", Device("mine"))


def test_the_address_is_checked() -> None:
    with pytest.raises(InvalidAddress):
        client_of("nonsense")


@pytest.mark.parametrize("url", ["ws://127.0.0.1:1/ws", "http://127.0.0.1:1"])
async def test_an_address_that_cannot_be_reached_is_told(url: str) -> None:
    async with client_of(url) as client:
        event = (await client.receive()).event
        assert isinstance(event, Disconnected)
        assert event.reason.startswith(f"{url} cannot be reached: ")


async def test_a_server_of_another_protocol_ends_it() -> None:
    async def babble(dialogue: Dialogue) -> None:
        await dialogue.socket.send("nonsense")
        await dialogue.hold()

    async with serving(babble) as url, client_of(url) as client:
        with pytest.raises(ProtocolViolation, match="not a JSON object"):
            await client.receive()


@asynccontextmanager
async def gateway(*answers: httpx.Response) -> AsyncIterator[tuple[httpx.AsyncClient, list[httpx.Request]]]:
    """An HTTP client whose n-th request gets the n-th answer."""
    left, asked = list(answers), list[httpx.Request]()

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return left.pop(0)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        yield http, asked
    assert not left


async def test_the_gateway_says_where_to_connect_each_time() -> None:
    async def drained(dialogue: Dialogue) -> None:
        await dialogue.close(1012)

    async with serving(drained, deregistered) as url:
        there = {"url": url}
        async with (
            gateway(httpx.Response(200, json=there), httpx.Response(200, json=there)) as (http, asked),
            client_of("http://gateway/", http=http) as client,
        ):
            await all_of(client)
    assert [str(request.url) for request in asked] == ["http://gateway/api/v1/realtime.connect"] * 2
    assert asked[0].headers["Authorization"] == "Bearer a-token"


async def test_a_gateway_that_has_no_instance_is_asked_again() -> None:
    problem = {"code": "unavailable", "detail": "no instance has room"}
    async with serving(deregistered) as url:
        answers = httpx.Response(503, json=problem), httpx.Response(200, json={"url": url})
        async with gateway(*answers) as (http, _), client_of("http://gateway", http=http) as client:
            (lost,) = await all_of(client)
    assert lost == Disconnected(reason="no instance has room (503 unavailable)", retry_in_s=0.0)


async def test_a_refused_token_is_made_anew() -> None:
    made = iter(("old", "new", "newer"))

    async def make() -> str:
        return next(made)

    async def refuses(dialogue: Dialogue) -> None:
        assert dialogue.auth["token"] == "new"
        await dialogue.send(WELCOME)
        await dialogue.close(4401, "the token has expired")

    async def accepts(dialogue: Dialogue) -> None:
        assert dialogue.auth["token"] == "newer"
        await dialogue.close(4409, "deregistered")

    problem = {"code": "token_expired", "detail": "the token has expired"}
    async with serving(refuses, accepts) as url:
        there = {"url": url}
        answers = httpx.Response(401, json=problem), *(httpx.Response(200, json=there) for _ in range(2))
        async with gateway(*answers) as (http, _), client_of("http://gateway", http=http, token=make) as client:
            await all_of(client)


async def test_a_token_that_cannot_be_made_anew_ends_it() -> None:
    async def refuses(dialogue: Dialogue) -> None:
        await dialogue.close(4401, "token_signature: the signature of the token is wrong")

    async with serving(refuses) as url, client_of(url) as client:
        with pytest.raises(TokenRefused, match="the signature of the token is wrong"):
            await client.receive()


async def test_a_token_source_that_is_away_is_asked_again_and_one_that_fails_ends_it() -> None:
    errors = iter((OSError("no route"), ValueError("broken")))

    def make() -> str:
        raise next(errors)

    async with client_of("ws://unused", token=make) as client:
        lost = (await client.receive()).event
        assert lost == Disconnected(reason="there is no token: no route", retry_in_s=0.0)
        with pytest.raises(ValueError, match="broken"):
            await client.receive()
