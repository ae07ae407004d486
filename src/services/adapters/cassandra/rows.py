"""Messages as rows."""

from typing import Any, Final

import orjson
from cassandra.query import UNSET_VALUE

from fanout.events import StoredMessage

COLUMNS: Final = (
    "seq",
    "message_id",
    "sender_id",
    "text",
    "sent_at",
    "thread_id",
    "mentions",
    "attachments",
    "client_msg_id",
)
"""The columns that a message is read from, beside those of its partition."""


def row_of(message: StoredMessage) -> tuple[Any, ...]:
    """The values of `COLUMNS`. What a message lacks stays unset, for a null would be a tombstone."""
    values = (
        message.seq,
        message.message_id,
        message.sender_id,
        message.text,
        message.sent_at,
        message.thread_id,
        _to_json(message.mentions),
        _to_json(message.attachments),
        message.client_msg_id,
    )
    return tuple(UNSET_VALUE if value is None else value for value in values)


def message_of(channel_id: str, row: tuple[Any, ...]) -> StoredMessage:
    """The message of a row of `COLUMNS`."""
    seq, message_id, sender_id, text, sent_at, thread_id, mentions, attachments, client_msg_id = row
    return StoredMessage(
        message_id=message_id,
        channel_id=channel_id,
        sender_id=sender_id,
        text=text,
        sent_at=sent_at,
        thread_id=thread_id,
        mentions=_from_json(mentions),
        attachments=_from_json(attachments),
        client_msg_id=client_msg_id,
        seq=seq,
    )


def _to_json(value: list[Any] | None) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _from_json(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)
