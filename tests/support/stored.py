"""Stored events as the log holds them."""

from typing import Any

import orjson

from fanout.events import StoredMessage
from fanout.ids import new_message_id


def stored_message(channel: str = "c", **changes: Any) -> bytes:
    """A valid message event of a channel, with fields of its message changed."""
    message = {
        "message_id": new_message_id(),
        "channel_id": channel,
        "sender_id": "ann",
        "text": "héllo\n",
        "sent_at": "2030-01-01T00:00:00.000Z",
    }
    event = {"event_id": "evt_1", "type": "message.new", "channel_id": channel, "message": message | changes}
    return orjson.dumps(event)


def in_history(seq: int, channel: str = "general", text: str = "hello", **fields: Any) -> StoredMessage:
    """A message as the store holds it."""
    return StoredMessage(new_message_id(), channel, "alice", text, "2026-02-01T10:00:00.000Z", **fields, seq=seq)
