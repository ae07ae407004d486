"""Changes of presence on the bus: what is read back is what was written, and anything else is refused."""

import msgspec
import pytest

from fanout.ports.presence import UserPresence
from fanout.presence_changes import PresenceChanged, decode_presence_changed

PRESENCE = UserPresence("alice", "online", 7, "2026-02-01T10:30:00.000Z", "In a meeting", ":calendar:")


def test_a_change_is_read_back_whole() -> None:
    change = PresenceChanged.of(PRESENCE, only="notif-1")
    read = decode_presence_changed(msgspec.json.encode(change))
    assert (read, read.presence, read.only) == (change, PRESENCE, "notif-1")


def test_what_is_not_said_is_left_out() -> None:
    written = msgspec.json.decode(msgspec.json.encode(PresenceChanged.of(UserPresence("alice", "offline", 1))))
    assert written == {"user_id": "alice", "status": "offline", "version": 1}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[" * 100_000,
        b'{"user_id": "alice", "status": "asleep", "version": 1}',
        b'{"user_id": "a.b", "status": "idle", "version": 1}',
        b'{"user_id": "alice", "status": "idle", "version": 1, "only": ">"}',
        b'{"user_id": "alice", "status": "idle"}',
    ],
)
def test_what_is_no_change_is_refused(payload: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_presence_changed(payload)
