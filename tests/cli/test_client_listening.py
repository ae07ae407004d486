"""`fanout listen` against a WebSocket server that does what a notification instance may do."""

import asyncio
import io
import json
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from websockets.asyncio.server import ServerConnection, serve

from fanout.ids import check_device_id
from services.cli import listening
from services.cli.listening import LONGEST_DELAY_S, MISSED, Listener, Position, Screen, backoff, describe, printable
from services.cli.rest import ClientError, Rest

WELCOME = {"type": "auth.ok", "user_id": "alice", "session_id": "s", "device_id": "d", "heartbeat_s": 30}
MESSAGE = {
    "type": "message.new",
    "seq": 7,
    "part": 3,
    "channel_id": "general",
    "message": {"message_id": "m", "channel_id": "general", "sender_id": "bob", "text": "hi [b]there", "sent_at": "t"},
}

Script = Callable[[ServerConnection, dict[str, Any]], Awaitable[None]]


class FakeRest(Rest):
    def __init__(self, url: str) -> None:
        super().__init__("http://unused", lambda: "a-token")
        self.url = url

    async def websocket_url(self) -> str:
        return self.url


class Shown:
    def __init__(self, *, raw: bool = False) -> None:
        self.out, self.notices = io.StringIO(), io.StringIO()
        self.screen = Screen(Console(file=self.out, width=200), Console(file=self.notices, width=200), raw=raw)


@asynccontextmanager
async def listening_to(*scripts: Script, shown: Shown, reads: bool = False) -> Any:
    """A listener whose n-th connection meets the n-th script."""
    left = list(scripts)

    async def handler(socket: ServerConnection) -> None:
        auth = json.loads(await socket.recv())
        await left.pop(0)(socket, auth)

    async with serve(handler, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield Listener(FakeRest(f"ws://127.0.0.1:{port}/ws"), shown.screen, reads=reads)


async def send(socket: ServerConnection, *frames: dict[str, Any]) -> None:
    for frame in frames:
        await socket.send(json.dumps(frame))


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "backoff", lambda _attempt: 0.0)


async def deregistered(socket: ServerConnection, auth: dict[str, Any]) -> None:
    await socket.close(4409)


@pytest.mark.parametrize(("reads", "sent"), [(True, ["mark_read", "message.read"]), (False, [])])
async def test_it_says_what_is_read_where_it_is_asked_to(*, reads: bool, sent: list[str]) -> None:
    said: list[dict[str, Any]] = []

    async def script(socket: ServerConnection, auth: dict[str, Any]) -> None:
        await send(socket, WELCOME | {"heartbeat_s": 0.05}, MESSAGE, {"type": "message.new", "message": "of later"})
        while (frame := json.loads(await socket.recv()))["type"] != "heartbeat":
            said.append(frame)
        await socket.close(4409)

    async with listening_to(script, shown=Shown(), reads=reads) as listener:
        with pytest.raises(ClientError):
            await listener.run()
    assert said == [{"type": kind, "channel_id": "general", "message_id": "m"} for kind in sent]


async def test_it_resumes_exactly_where_it_was_after_a_drop() -> None:
    auths: list[dict[str, Any]] = []

    async def drained(socket: ServerConnection, auth: dict[str, Any]) -> None:
        auths.append(auth)
        await send(socket, WELCOME, {"type": "heartbeat.ok", "seq": 5}, MESSAGE)
        await socket.close(1012, "draining; reconnect with jitter")

    async def again(socket: ServerConnection, auth: dict[str, Any]) -> None:
        auths.append(auth)
        await send(socket, WELCOME)
        await socket.close(4409)

    shown = Shown()
    async with listening_to(drained, again, shown=shown) as listener:
        with pytest.raises(ClientError, match="replaced by a newer connection"):
            await listener.run()
    first, second = auths
    assert (first["type"], first["token"], check_device_id(first["device_id"])) == (
        "auth",
        "a-token",
        second["device_id"],
    )
    assert "resume" not in first
    assert second["resume"] == {"seq": 5, "parts": {"3": 7}}
    assert "last_seen" in second
    assert shown.out.getvalue() == "t #general m bob: hi [b]there\n"
    notices = shown.notices.getvalue().splitlines()
    assert [line.partition(" in ")[0] for line in notices] == [
        "connected as alice; Ctrl-C ends it",
        "draining (1012); reconnecting",
        "connected as alice; Ctrl-C ends it",
        MISSED,
    ]


@pytest.mark.parametrize(("code", "said"), [(4401, "refused the token"), (4409, "replaced")])
async def test_what_no_retry_can_mend_ends_it(code: int, said: str) -> None:
    async def refuse(socket: ServerConnection, auth: dict[str, Any]) -> None:
        await socket.close(code)

    async with listening_to(refuse, shown=Shown()) as listener:
        with pytest.raises(ClientError, match=said):
            await listener.run()


async def test_a_first_connection_that_fails_is_not_retried() -> None:
    async def full(socket: ServerConnection, auth: dict[str, Any]) -> None:
        await socket.close(1013, "full")

    async with listening_to(full, shown=Shown()) as listener:
        with pytest.raises(ClientError, match=r"full \(1013\)"):
            await listener.run()


async def test_heartbeats_are_sent_as_often_as_the_server_asks() -> None:
    heartbeats: list[dict[str, Any]] = []

    async def listen(socket: ServerConnection, auth: dict[str, Any]) -> None:
        await send(socket, {**WELCOME, "heartbeat_s": 0.01})
        heartbeats.extend([json.loads(await socket.recv()) for _ in range(3)])
        await socket.close(4409)

    async with listening_to(listen, shown=Shown()) as listener:
        with pytest.raises(ClientError):
            await listener.run()
    assert [beat["type"] for beat in heartbeats] == ["heartbeat"] * 3
    assert check_device_id(heartbeats[0]["device_id"])


async def test_raw_frames_are_lines_as_they_came() -> None:
    async def talk(socket: ServerConnection, auth: dict[str, Any]) -> None:
        await send(socket, WELCOME, MESSAGE)
        await socket.close(4409)

    shown = Shown(raw=True)
    async with listening_to(talk, shown=shown) as listener:
        with pytest.raises(ClientError):
            await listener.run()
    assert [json.loads(line) for line in shown.out.getvalue().splitlines()] == [WELCOME, MESSAGE]


@pytest.mark.parametrize("frame", ["nonsense", "[]", "7"])
async def test_a_server_that_speaks_another_language(frame: str) -> None:
    async def babble(socket: ServerConnection, auth: dict[str, Any]) -> None:
        await socket.send(frame)
        with suppress(Exception):
            await socket.wait_closed()

    async with listening_to(babble, shown=Shown()) as listener:
        with pytest.raises(ClientError, match="the server sent a frame"):
            await listener.run()


async def test_it_ends_when_it_is_cancelled() -> None:
    connected = asyncio.Event()

    async def hold(socket: ServerConnection, auth: dict[str, Any]) -> None:
        await send(socket, WELCOME)
        connected.set()
        await socket.wait_closed()

    async with listening_to(hold, shown=Shown()) as listener:
        task = asyncio.create_task(listener.run())
        await connected.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize(
    ("frame", "shown"),
    [
        ({"type": "typing", "channel_id": "g", "user_id": "bob", "typing": True}, "#g bob is typing"),
        ({"type": "typing", "channel_id": "g", "user_id": "bob", "typing": False}, None),
        ({"type": "member.joined", "channel_id": "g", "user_id": "bob"}, "#g bob joined"),
        ({"type": "member.left", "channel_id": "g", "user_id": "bob"}, "#g bob left"),
        (
            {"type": "receipt.read", "channel_id": "g", "message_id": "msg_1", "read_by": ["bob", "a\x1b"]},
            "#g bob, a\N{REPLACEMENT CHARACTER} has read msg_1",
        ),
        ({"type": "receipt.read", "channel_id": "g", "message_id": "msg_1"}, None),
        (
            {"type": "full_refresh_required", "tier": 4, "reason": "log_reset", "after_ms": 7},
            "the log lost messages, or was replaced: read the channels again with channels.history",
        ),
        (
            {"type": "full_refresh_required", "tier": 4, "reason": "gap"},
            "something may have been missed: read the channels again with channels.history",
        ),
        (
            {"type": "thread.reply", "message": {**MESSAGE["message"], "thread_id": "first"}},  # type: ignore[dict-item]
            "t #general m in the thread of first bob: hi [b]there",
        ),
        ({"type": "error", "code": "c", "message": "no"}, "no (c)"),
        ({"type": "heartbeat.ok", "seq": 1}, None),
        ({"type": "of.another.version"}, None),
        ({}, None),
    ],
)
def test_frames_for_people(frame: dict[str, Any], shown: str | None) -> None:
    line = describe(frame)
    assert (line.plain if line else None) == shown


def test_a_message_is_one_line_however_narrow_the_terminal_is() -> None:
    out = io.StringIO()
    Screen(Console(file=out, width=20), Console(file=out)).frame("", MESSAGE)
    assert out.getvalue() == "t #general m bob: hi [b]there\n"


@given(st.text())
def test_nobody_steers_my_terminal(text: str) -> None:
    line = describe({**MESSAGE, "message": {"channel_id": "g", "sender_id": text, "text": text}})
    assert line is not None
    assert all(c.isprintable() or c in "\n\t" for c in line.plain)
    assert len(printable(text)) == len(text)


@given(st.integers(0, 10_000))
def test_the_wait_between_tries_is_bounded_and_never_nothing(attempt: int) -> None:
    assert 0.2 < backoff(attempt) <= LONGEST_DELAY_S == 5


def test_a_position_that_saw_no_event_asks_for_no_replay_of_everything() -> None:
    position = Position()
    assert position.resume() == {}
    position.see(WELCOME)
    assert set(position.resume()) == {"last_seen"}
