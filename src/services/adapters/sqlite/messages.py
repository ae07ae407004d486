"""Messages in SQLite."""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

import orjson

from fanout.events import Message
from services.adapters.sqlite.database import Schema
from services.adapters.sqlite.store import Store

_COLUMNS: Final = "channel_id, message_id, sender_id, text, sent_at, thread_id, mentions, attachments, client_msg_id"

SCHEMA: Final[Schema] = (
    (
        """CREATE TABLE messages (
            channel_id TEXT NOT NULL,
            message_id TEXT NOT NULL,
            sender_id TEXT NOT NULL,
            text TEXT NOT NULL,
            sent_at TEXT NOT NULL,
            thread_id TEXT,
            mentions TEXT,
            attachments TEXT,
            client_msg_id TEXT,
            PRIMARY KEY (channel_id, message_id)
        ) STRICT, WITHOUT ROWID""",
    ),
)

_INSERT: Final = f"INSERT OR IGNORE INTO messages ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constants
_SELECT: Final = f"SELECT {_COLUMNS} FROM messages WHERE channel_id = ?"  # noqa: S608 - constants


class SqliteMessages(Store):
    """`fanout.ports.messages.Messages` in a file that several processes of one machine may share."""

    schema = SCHEMA

    async def write(self, messages: Sequence[Message]) -> None:
        """See the port. All of `messages` or none."""
        rows = [_row(message) for message in messages]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(_INSERT, rows)

        await self._database.write(work)

    async def history(
        self, channel_id: str, *, before: str | None = None, after: str | None = None, limit: int = 50
    ) -> list[Message]:
        """See the port."""
        query, parameters = _page(channel_id, before, after, limit)

        def work(connection: sqlite3.Connection) -> list[Message]:
            return [_message(row) for row in connection.execute(query, parameters)]

        page = await self._database.read(work)
        return page if after is None else page[::-1]


def _page(channel_id: str, before: str | None, after: str | None, limit: int) -> tuple[str, list[Any]]:
    query, parameters = _SELECT, [channel_id]
    for bound, condition in ((before, " AND message_id < ?"), (after, " AND message_id > ?")):
        if bound is not None:
            query += condition
            parameters.append(bound)
    direction = "DESC" if after is None else "ASC"
    return f"{query} ORDER BY message_id {direction} LIMIT ?", [*parameters, max(limit, 0)]


def _row(message: Message) -> tuple[str | None, ...]:
    return (
        message.channel_id,
        message.message_id,
        message.sender_id,
        message.text,
        message.sent_at,
        message.thread_id,
        _to_json(message.mentions),
        _to_json(message.attachments),
        message.client_msg_id,
    )


def _message(row: tuple[Any, ...]) -> Message:
    channel_id, message_id, sender_id, text, sent_at, thread_id, mentions, attachments, client_msg_id = row
    return Message(
        message_id=message_id,
        channel_id=channel_id,
        sender_id=sender_id,
        text=text,
        sent_at=sent_at,
        thread_id=thread_id,
        mentions=_from_json(mentions),
        attachments=_from_json(attachments),
        client_msg_id=client_msg_id,
    )


def _to_json(value: list[Any] | None) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _from_json(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)
