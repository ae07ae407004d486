"""`fanout listen` against a WebSocket server that does what a notification instance may do."""

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fanout.client import (
    ClientSettings,
    Delays,
    Device,
    DeviceDeregistered,
    DeviceReplaced,
    ProtocolViolation,
    ResumePoint,
)
from fanout.client.connection import Client
from fanout.errors import FanoutError
from services.cli.listening import Listener
from services.cli.rest import ClientError
from services.cli.resume_file import ResumeFile
from services.cli.screen import Screen
from tests.support.model_server import DEVICE_ID
from tests.support.scripted_server import COMPLETE, MESSAGE, WELCOME, Dialogue, Script, deregistered, serving

MESSAGE_ID = "msg_01JD5T6Q9FZ0Y4W3V2B1N0M8K7"
AT_ONCE = ClientSettings(delays=Delays(0.0, 0.0))


class Listened:
    """The output of `fanout listen`, until the server ends it for good."""

    def __init__(self) -> None:
        self.out, self.notices = io.StringIO(), io.StringIO()
        self.ending: FanoutError | None = None

    async def to(
        self, *scripts: Script, raw: bool = False, point: ResumePoint | None = None, **options: Any
    ) -> "Listened":
        screen = Screen(Console(file=self.out, width=200), Console(file=self.notices, width=400), raw=raw)
        async with serving(*scripts) as url:
            client = Client(url, "a-token", Device(DEVICE_ID), settings=AT_ONCE, resume=point)
            try:
                await Listener(client, screen, **options).run()
            except FanoutError as error:
                self.ending = error
        return self

    @property
    def lines(self) -> list[str]:
        return self.out.getvalue().splitlines()

    @property
    def told(self) -> list[str]:
        """The notices, without how long it waits."""
        return [line.partition(" in ")[0] for line in self.notices.getvalue().splitlines()]


@pytest.mark.parametrize(("reads", "sent"), [(True, ["mark_read", "message.read"]), (False, [])])
async def test_it_says_what_is_read_where_it_is_asked_to(*, reads: bool, sent: list[str]) -> None:
    said: list[dict[str, Any]] = []

    async def script(dialogue: Dialogue) -> None:
        message = {**MESSAGE["message"], "message_id": MESSAGE_ID}  # type: ignore[dict-item]
        await dialogue.send(WELCOME | {"heartbeat_s": 0.05}, MESSAGE | {"message": message})
        while (frame := await dialogue.receive())["type"] != "heartbeat":
            said.append(frame)
        await dialogue.close(4409, "deregistered")

    listened = await Listened().to(script, reads=reads)
    assert isinstance(listened.ending, DeviceDeregistered)
    assert said == [{"type": kind, "channel_id": "general", "message_id": MESSAGE_ID} for kind in sent]


async def test_it_resumes_where_it_was_and_says_that_the_connection_was_lost() -> None:
    async def drained(dialogue: Dialogue) -> None:
        await dialogue.send(WELCOME, {"type": "heartbeat.ok", "seq": 5}, MESSAGE)
        await dialogue.close(1012, "draining; reconnect with jitter")

    async def again(dialogue: Dialogue) -> None:
        assert dialogue.auth["resume"] == {"seq": 5, "parts": {"3": 7}, "log": "log-1"}
        await dialogue.send(WELCOME, MESSAGE, MESSAGE | {"seq": 8}, COMPLETE)
        await dialogue.close(4409, "the device has connected again")

    listened = await Listened().to(drained, again)
    assert isinstance(listened.ending, DeviceReplaced)
    assert listened.lines == ["t #general m bob: hi [b]there"] * 2
    assert listened.told == [
        "connected as alice; Ctrl-C ends it",
        "draining (1012); reconnecting",
        "connected as alice; Ctrl-C ends it",
    ]


async def test_a_resume_that_fails_three_times_is_given_up_and_said() -> None:
    async def fails(dialogue: Dialogue) -> None:
        assert dialogue.auth["resume"]["seq"] == 5
        await dialogue.send(WELCOME)
        await dialogue.close(1011, "the catch-up failed")

    async def plainly(dialogue: Dialogue) -> None:
        assert "resume" not in dialogue.auth
        await dialogue.send(WELCOME, MESSAGE)
        await deregistered(dialogue)

    listened = await Listened().to(fails, fails, fails, plainly, point=ResumePoint(5))
    assert listened.lines == ["t #general m bob: hi [b]there"]
    assert [line for line in listened.told if line.startswith("resuming failed 3 times")]


async def test_a_refresh_is_said_and_the_next_connection_resumes_behind_it() -> None:
    async def refreshes(dialogue: Dialogue) -> None:
        refresh = {"type": "full_refresh_required", "tier": 4, "reason": "gap"}
        await dialogue.send(WELCOME, refresh, COMPLETE | {"tier": 4, "last_event_seq": 20}, MESSAGE | {"seq": 21})
        await dialogue.close(1012, "draining")

    async def again(dialogue: Dialogue) -> None:
        assert dialogue.auth["resume"] == {"seq": 20, "parts": {"3": 21}, "log": "log-1"}
        await deregistered(dialogue)

    listened = await Listened().to(refreshes, again, point=ResumePoint(1))
    assert listened.lines == [
        "something may have been missed: read the channels again with channels.history",
        "t #general m bob: hi [b]there",
    ]


async def test_it_begins_where_the_last_run_was(tmp_path: Path) -> None:
    async def first(dialogue: Dialogue) -> None:
        await dialogue.send(WELCOME, MESSAGE)
        await deregistered(dialogue)

    await Listened().to(first, kept=ResumeFile(tmp_path / "at", "alice"))
    assert ResumeFile(tmp_path / "at", "alice").point == ResumePoint(5, {3: 7}, "log-1")


@pytest.mark.parametrize(
    ("code", "reason", "said"),
    [
        (4401, "token_user: no id", "the server refused the token: token_user: no id"),
        (4401, "token_expired: it is old", "the token has expired: make a new one"),
        (4409, "replaced", "replaced by a newer connection"),
    ],
)
async def test_what_no_retry_can_repair_ends_it(code: int, reason: str, said: str) -> None:
    async def refuse(dialogue: Dialogue) -> None:
        await dialogue.close(code, reason)

    assert said in str((await Listened().to(refuse)).ending)


async def test_a_first_connection_that_fails_is_not_retried() -> None:
    async def full(dialogue: Dialogue) -> None:
        await dialogue.close(1013, "full; retry_after_ms=1000")

    listened = await Listened().to(full)
    assert isinstance(listened.ending, ClientError)
    assert str(listened.ending) == "full (1013)"


async def test_raw_frames_are_lines_as_they_came() -> None:
    async def talk(dialogue: Dialogue) -> None:
        await dialogue.send(WELCOME, MESSAGE)
        await deregistered(dialogue)

    assert [json.loads(line) for line in (await Listened().to(talk, raw=True)).lines] == [WELCOME, MESSAGE]


@pytest.mark.parametrize("frame", ["nonsense", "[]", "7"])
async def test_a_server_that_speaks_another_language(frame: str) -> None:
    async def babble(dialogue: Dialogue) -> None:
        await dialogue.socket.send(frame)
        await dialogue.hold()

    listened = await Listened().to(babble)
    assert isinstance(listened.ending, ProtocolViolation)
    assert str(listened.ending).startswith("the server sent a frame")


async def test_it_ends_when_it_is_cancelled() -> None:
    connected = asyncio.Event()

    async def hold(dialogue: Dialogue) -> None:
        await dialogue.send(WELCOME)
        connected.set()
        await dialogue.hold()

    task = asyncio.create_task(Listened().to(hold))
    await connected.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
