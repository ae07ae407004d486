"""Every frame of the server has an event; what is no frame is an error."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout.client import (
    AuthOk,
    Catchup,
    ErrorFrame,
    Event,
    MessageNew,
    PresenceUpdate,
    ProtocolViolation,
    SyncDraft,
    Unknown,
    UnreadCounts,
    decode,
)
from fanout.client.decoding import KNOWN

MESSAGE = {"message_id": "m", "channel_id": "c", "sender_id": "bob", "text": "hi", "sent_at": "t"}


def decoded(frame_type: str, **fields: Any) -> Event:
    return decode(json.dumps({"type": frame_type, **fields}))


def test_the_frames_of_the_contract_are_known() -> None:
    assert set(KNOWN) == {
        "auth.ok",
        "heartbeat.ok",
        "pong",
        "message.new",
        "thread.reply",
        "typing",
        "receipt.read",
        "presence.update",
        "member.joined",
        "member.left",
        "sync.read",
        "sync.draft",
        "draft.saved",
        "draft.load",
        "catchup",
        "unread.counts",
        "full_refresh_required",
        "catchup.complete",
        "error",
    }


def test_a_message() -> None:
    event = decoded("message.new", seq=7, part=3, channel_id="c", message=MESSAGE | {"mentions": ["alice"]})
    assert isinstance(event, MessageNew)
    assert (event.seq, event.part, event.channel_id) == (7, 3, "c")
    assert (event.message.text, event.message.mentions, event.message.thread_id) == ("hi", ["alice"], None)


def test_the_point_of_a_connection() -> None:
    names = {"user_id": "u", "session_id": "s", "device_id": "d"}
    event = decoded("auth.ok", **names, heartbeat_s=30, seq=5, parts={"3": 7}, log="l", reconnect_after_ms=200)
    assert isinstance(event, AuthOk)
    assert (event.seq, event.parts, event.log, event.reconnect_after_ms) == (5, {3: 7}, "l", 200)


def test_the_tiers_of_a_catch_up() -> None:
    missed = {"channel_id": "c", "messages": [MESSAGE | {"seq": 9}], "more": True}
    catchup = decoded("catchup", tier=2, channels=[missed], unread={"c": 3})
    assert isinstance(catchup, Catchup)
    assert (catchup.channels[0].messages[0].seq, catchup.channels[0].more) == (9, True)
    counts = decoded("unread.counts", tier=3, channels={"c": 3}, total=3, mentions=1)
    assert counts == UnreadCounts(channels={"c": 3}, total=3, mentions=1)


def test_drafts_presence_and_errors() -> None:
    draft = decoded("sync.draft", channel_id="c", draft={"text": "hey", "updated_at": "t"})
    assert isinstance(draft, SyncDraft)
    assert draft.draft is not None
    assert draft.draft.text == "hey"
    assert decoded("sync.draft", channel_id="c", draft=None) == SyncDraft(channel_id="c")
    assert decoded("presence.update", user="bob", status="idle", version=3) == PresenceUpdate(
        user="bob", status="idle", version=3
    )
    assert isinstance(decoded("error", code="c", message="no", offending_type="mark_read"), ErrorFrame)


def test_fields_of_a_newer_server_are_passed_over() -> None:
    assert decoded("pong", of="another version") == KNOWN["pong"]()


def test_a_frame_of_a_newer_server_is_unknown() -> None:
    assert decoded("message.edited", channel_id="c") == Unknown(
        type="message.edited", fields={"type": "message.edited", "channel_id": "c"}
    )


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "7", "{}", '{"type": 7}', "[" * 100_000])
def test_what_is_no_frame_is_an_error(text: str) -> None:
    with pytest.raises(ProtocolViolation, match="not a JSON object with a type"):
        decode(text)


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "message.new", "seq": 7, "part": 3, "channel_id": "c"},
        {"type": "message.new", "seq": -1, "part": 3, "channel_id": "c", "message": MESSAGE},
        {"type": "heartbeat.ok", "seq": "7"},
        {"type": "auth.ok", "user_id": "u", "session_id": "s", "device_id": "d", "heartbeat_s": 0},
    ],
)
def test_a_known_frame_that_cannot_be_read_is_an_error(frame: dict[str, Any]) -> None:
    with pytest.raises(ProtocolViolation, match=f"a frame {frame['type']} that cannot be read"):
        decode(json.dumps(frame))


@given(st.text() | st.dictionaries(st.sampled_from(["type", "seq", "draft"]), st.text()).map(json.dumps))
def test_nothing_else_is_raised(text: str) -> None:
    with suppress(ProtocolViolation):
        decode(text)
