"""Notices between devices: their payloads, their frames, and what is refused."""

import json
from typing import Any

import pytest

from fanout import InvalidEvent
from fanout.ids import new_device_id
from fanout.ports.drafts import Draft, DraftContent
from fanout.user_sync import DraftSync, ReadSync, decode_user_notice, encode_user_notice

AT = "2026-02-01T10:00:00.000Z"
MESSAGE = "msg_01ARZ3NDEKTSV4RRFFQ69G5FAV"
DEVICE = new_device_id()
READ = ReadSync("alice", "general", DEVICE, MESSAGE, AT, 7)
DRAFT = DraftSync.of("alice", "general", Draft(DraftContent("Hey", MESSAGE, ["f"]), AT, DEVICE), DEVICE)
DELETED = DraftSync.of("alice", "general", Draft(None, AT))


@pytest.mark.parametrize("notice", [READ, DRAFT, DELETED])
def test_a_notice_comes_back(notice: ReadSync | DraftSync) -> None:
    assert decode_user_notice(encode_user_notice(notice), "alice") == notice


def test_the_frames_are_flat() -> None:
    assert READ.frame() == {
        "type": "sync.read",
        "channel_id": "general",
        "last_read_id": MESSAGE,
        "last_read_at": AT,
    }
    assert DELETED.frame() == {"type": "sync.draft", "channel_id": "general", "draft": None, "updated_at": AT}


def test_versions_rise() -> None:
    assert READ.version == 7
    later = DraftSync("alice", "general", "", "2026-02-01T10:00:00.001Z", None)
    assert later.version == DRAFT.version + 1


@pytest.mark.parametrize(
    "change",
    [
        {"user_id": "bob"},
        {"user_id": 1},
        {"channel_id": "a.b"},
        {"source_device": "phone"},
        {"last_read_id": "msg_1"},
        {"seq": "7"},
        {"type": "other"},
    ],
)
def test_a_payload_that_is_no_notice_about_the_user_is_refused(change: dict[str, Any]) -> None:
    payload = json.dumps(json.loads(encode_user_notice(READ)) | change).encode()
    with pytest.raises(InvalidEvent):
        decode_user_notice(payload, "alice")


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b'{"type":"draft_sync"}', b"[" * 10_000])
def test_bytes_that_are_none_are_refused(payload: bytes) -> None:
    with pytest.raises(InvalidEvent):
        decode_user_notice(payload, "alice")


def test_a_time_that_is_none_is_refused() -> None:
    payload = json.dumps(json.loads(encode_user_notice(DELETED)) | {"updated_at": "yesterday"}).encode()
    with pytest.raises(InvalidEvent):
        decode_user_notice(payload, "alice")
