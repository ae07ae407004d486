"""`draft.save` and `channel.open`: what they do, what they answer, and what is refused."""

import json
from typing import Any

import pytest

from fanout.error_codes import DRAFT_CONFLICT, DRAFT_TOO_LONG, INVALID_FRAME, INVALID_ID, UNAVAILABLE
from fanout.errors import CallRejected, Unavailable
from fanout.ports.drafts import Base, Draft, DraftContent
from services.notification.client_frames.handlers import BadFrame
from tests.support.client_frames import Room

AT = "2026-02-01T10:00:00.000Z"
MESSAGE = "msg_01ARZ3NDEKTSV4RRFFQ69G5FAV"
STORED = Draft(DraftContent("Hey", MESSAGE, ["file_1"]), AT, "dev_ios_01ARZ3NDEKTSV4RRFFQ69G5FAV")


def save(**fields: Any) -> str:
    return json.dumps({"type": "draft.save", "channel_id": "general", **fields})


OPEN = json.dumps({"type": "channel.open", "channel_id": "general"})


async def test_a_draft_is_saved_and_the_device_is_told_its_time(room: Room) -> None:
    alice = await room.enter("alice", "general")
    room.commands.draft = STORED
    await room.send(alice, save(text="Hey", reply_to=MESSAGE, attachments=["file_1"], base_updated_at=None))
    content = DraftContent("Hey", MESSAGE, ["file_1"])
    assert room.commands.saved == [("alice", "general", content, alice.device_id, Base(None))]
    assert room.received(alice) == [{"type": "draft.saved", "channel_id": "general", "updated_at": AT}]


@pytest.mark.parametrize(
    ("fields", "content", "base"),
    [
        ({"text": "Hey"}, DraftContent("Hey"), None),
        ({"draft": None}, None, None),
        ({"draft": None, "base_updated_at": AT}, None, Base(AT)),
        ({"text": "", "base_updated_at": AT}, DraftContent(""), Base(AT)),
    ],
)
async def test_a_frame_says_the_content_and_the_base(
    room: Room, fields: dict[str, Any], content: DraftContent | None, base: Base | None
) -> None:
    alice = await room.enter("alice", "general")
    await room.send(alice, save(**fields))
    ((_, _, saved, _, of),) = room.commands.saved
    assert (saved, of) == (content, base)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, INVALID_FRAME),
        ({"text": "Hey", "draft": None}, INVALID_FRAME),
        ({"text": None}, INVALID_FRAME),
        ({"draft": {}}, INVALID_FRAME),
        ({"text": "Hey", "attachments": "file"}, INVALID_FRAME),
        ({"text": "Hey", "attachments": json.loads("[" * 40 + "]" * 40)}, INVALID_FRAME),
        ({"text": "Hey", "reply_to": "msg_1"}, INVALID_ID),
        ({"text": "Hey", "channel_id": "a:b"}, INVALID_ID),
    ],
)
async def test_a_frame_that_says_nothing_clear_is_refused(room: Room, fields: dict[str, Any], code: object) -> None:
    alice = await room.enter("alice", "general")
    with pytest.raises(BadFrame) as caught:
        await room.send(alice, save(**fields))
    assert caught.value.code == str(code)
    assert room.commands.saved == []


async def test_a_stale_edit_is_answered_by_an_error_and_the_draft(room: Room) -> None:
    alice = await room.enter("alice", "general")
    room.commands.draft, room.commands.is_refused = STORED, True
    await room.send(alice, save(text="stale", base_updated_at=None))
    error, draft = room.received(alice)
    assert (error["type"], error["code"], error["offending_type"]) == ("error", str(DRAFT_CONFLICT), "draft.save")
    assert (draft["type"], draft["draft"]["text"], draft["updated_at"]) == ("sync.draft", "Hey", AT)


async def test_opening_a_channel_gives_its_draft_and_focuses_it(room: Room) -> None:
    alice = await room.enter("alice", "general")
    room.commands.draft = STORED
    await room.send(alice, OPEN)
    (frame,) = room.received(alice)
    assert frame == {
        "type": "draft.load",
        "channel_id": "general",
        "draft": {
            "text": "Hey",
            "reply_to": MESSAGE,
            "attachments": ["file_1"],
            "updated_at": AT,
            "device_id": STORED.device_id,
        },
        "updated_at": AT,
    }
    assert alice.focused_channel == "general"
    assert room.renewed == [(alice, True)]


async def test_opening_a_channel_without_a_draft_says_that_there_is_none(room: Room) -> None:
    alice = await room.enter("alice", "general")
    await room.send(alice, OPEN)
    assert room.received(alice) == [{"type": "draft.load", "channel_id": "general", "draft": None, "updated_at": None}]


@pytest.mark.parametrize("raw", [OPEN, save(text="Hey")])
@pytest.mark.parametrize(
    ("failure", "code"), [(Unavailable("away"), UNAVAILABLE), (CallRejected(DRAFT_TOO_LONG), DRAFT_TOO_LONG)]
)
async def test_what_a_command_is_refused_with_is_the_frames_error(
    room: Room, raw: str, failure: Exception, code: object
) -> None:
    alice = await room.enter("alice", "general")
    room.commands.failure = failure
    with pytest.raises(BadFrame) as caught:
        await room.send(alice, raw)
    assert caught.value.code == str(code)
    assert alice.focused_channel is None
