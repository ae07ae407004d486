"""Messages as rows of a table, the same for each store of tables."""

from typing import Any, Final

import orjson

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
"""The columns of a message beside those that name its channel."""


def values_of(message: StoredMessage) -> tuple[str | int | None, ...]:
    """The values of `COLUMNS`. Mentions and attachments are JSON; what a message lacks is None."""
    return (
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


def message_of(channel_id: str, values: tuple[Any, ...]) -> StoredMessage:
    """The message of a channel that has these values of `COLUMNS`."""
    seq, message_id, sender_id, text, sent_at, thread_id, mentions, attachments, client_msg_id = values
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
