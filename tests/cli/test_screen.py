"""Events as lines for people, and as frames for programs."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from fanout.client import Disconnected, Received, ResumeDropped, ResumePoint, decode
from services.cli.screen import Screen, lines_of, notice_of, printable

MESSAGE = {"message_id": "m", "channel_id": "general", "sender_id": "bob", "text": "hi [b]there", "sent_at": "t"}
NEW = {"type": "message.new", "seq": 7, "part": 3, "channel_id": "general", "message": MESSAGE}


def received(frame: dict[str, Any]) -> Received:
    text = json.dumps(frame)
    return Received(decode(text), text)


@pytest.mark.parametrize(
    ("frame", "shown"),
    [
        (NEW, ["t #general m bob: hi [b]there"]),
        (
            NEW | {"type": "thread.reply", "thread_id": "first", "message": {**MESSAGE, "thread_id": "first"}},
            ["t #general m in the thread of first bob: hi [b]there"],
        ),
        ({"type": "typing", "channel_id": "g", "user_id": "bob", "typing": True}, ["#g bob is typing"]),
        ({"type": "typing", "channel_id": "g", "user_id": "bob", "typing": False}, []),
        ({"type": "member.joined", "channel_id": "g", "user_id": "bob"}, ["#g bob joined"]),
        ({"type": "member.left", "channel_id": "g", "user_id": "bob"}, ["#g bob left"]),
        (
            {"type": "receipt.read", "channel_id": "g", "message_id": "msg_1", "read_by": ["bob", "a\x1b"]},
            ["#g bob, a\N{REPLACEMENT CHARACTER} has read msg_1"],
        ),
        ({"type": "presence.update", "user": "bob", "status": "idle", "version": 3}, ["bob is idle"]),
        ({"type": "sync.read", "channel_id": "g", "last_read_id": "m"}, ["#g read up to m on another device"]),
        ({"type": "sync.draft", "channel_id": "g", "draft": {"text": "hey"}}, ["#g draft: hey"]),
        ({"type": "sync.draft", "channel_id": "g", "draft": None}, ["#g draft deleted"]),
        (
            {"type": "full_refresh_required", "tier": 4, "reason": "log_reset", "after_ms": 7},
            ["the log lost messages, or was replaced: read the channels again with channels.history"],
        ),
        (
            {"type": "full_refresh_required", "tier": 4, "reason": "gap"},
            ["something may have been missed: read the channels again with channels.history"],
        ),
        (
            {"type": "catchup", "channels": [{"channel_id": "g", "messages": [MESSAGE], "more": True}]},
            ["#g missed older messages too: read them with channels.history", "t #general m bob: hi [b]there"],
        ),
        ({"type": "catchup", "channels": [{"channel_id": "g", "messages": []}]}, []),
        (
            {"type": "unread.counts", "channels": {"a": 2, "b": 1}, "total": 3, "mentions": 1},
            ["missed: 3 messages in 2 channels are unread, 1 mentions: read them with channels.history"],
        ),
        ({"type": "error", "code": "c", "message": "no"}, ["no (c)"]),
        ({"type": "heartbeat.ok", "seq": 1}, []),
        ({"type": "of.another.version"}, []),
    ],
)
def test_frames_for_people(frame: dict[str, Any], shown: list[str]) -> None:
    event = received(frame).event
    assert [line.plain for line in lines_of(event)] == shown
    assert notice_of(event) is None


def test_messages_about_the_connection() -> None:
    welcome = {"type": "auth.ok", "user_id": "alice", "session_id": "s", "device_id": "d"}
    dropped = ResumeDropped(point=ResumePoint(5), attempts=3)
    assert notice_of(received(welcome).event) == "connected as alice; Ctrl-C ends it"
    assert notice_of(Disconnected(reason="full", code=1013, retry_in_s=1.25)) == "full (1013); reconnecting in 1.2 s"
    assert notice_of(Disconnected(reason="it\x1b broke", retry_in_s=0.5)) == (
        "it\N{REPLACEMENT CHARACTER} broke; reconnecting in 0.5 s"
    )
    assert (notice_of(dropped) or "").startswith("resuming failed 3 times")
    assert list(lines_of(dropped)) == []


@pytest.mark.parametrize("raw", [False, True])
def test_a_screen_prints_events_and_notices_apart(*, raw: bool) -> None:
    out, notices = io.StringIO(), io.StringIO()
    screen = Screen(Console(file=out, width=20), Console(file=notices, width=200), raw=raw)
    screen.show(received(NEW))
    screen.show(Received(Disconnected(reason="full", retry_in_s=0.5), None))
    assert out.getvalue() == (json.dumps(NEW) if raw else "t #general m bob: hi [b]there") + "\n"
    assert notices.getvalue() == "full; reconnecting in 0.5 s\n"


@given(st.text())
def test_nobody_steers_my_terminal(text: str) -> None:
    (line,) = lines_of(received({**NEW, "message": {**MESSAGE, "sender_id": text, "text": text}}).event)
    assert all(c.isprintable() or c in "\n\t" for c in line.plain)
    assert len(printable(text)) == len(text)
