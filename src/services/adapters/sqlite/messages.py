"""The message store in SQLite."""

import sqlite3
from collections.abc import Sequence
from typing import Final

from fanout import machine
from fanout.events import StoredMessage
from fanout.message_rows import COLUMNS, message_of, values_of
from fanout.pages import cut
from fanout.ports.messages import LogPlace, Page, Position
from services.adapters.sqlite import ownership
from services.adapters.sqlite.database import UNRELEASED, Schema
from services.adapters.sqlite.store import SqliteStore

_COLUMNS: Final = ", ".join(("channel_id", *COLUMNS))
_KEY_BYTES: Final = 32

SCHEMA: Final[Schema] = (
    UNRELEASED,
    (
        """CREATE TABLE messages (
            channel_id TEXT NOT NULL,
            seq INTEGER NOT NULL,
            message_id TEXT NOT NULL UNIQUE,
            sender_id TEXT NOT NULL,
            text TEXT NOT NULL,
            sent_at TEXT NOT NULL,
            thread_id TEXT,
            mentions TEXT,
            attachments TEXT,
            client_msg_id TEXT,
            PRIMARY KEY (channel_id, seq, message_id)
        ) STRICT, WITHOUT ROWID""",
        ownership.STATEMENT,
        """CREATE TABLE log_place (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            seq INTEGER NOT NULL,
            stored_ns INTEGER NOT NULL
        ) STRICT""",
        """CREATE TABLE secrets (
            name TEXT PRIMARY KEY,
            value BLOB NOT NULL
        ) STRICT, WITHOUT ROWID""",
    ),
)

_INSERT: Final = f"""
    INSERT INTO messages ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET seq = excluded.seq
    WHERE excluded.seq > seq AND excluded.channel_id = channel_id"""  # noqa: S608 - constants
_KEEP_PLACE: Final = """
    INSERT INTO log_place (one, seq, stored_ns) VALUES (1, ?, ?)
    ON CONFLICT DO UPDATE SET seq = excluded.seq, stored_ns = excluded.stored_ns WHERE excluded.seq > seq"""
_SELECT: Final = f"SELECT {_COLUMNS} FROM messages WHERE channel_id = ?"  # noqa: S608 - constants


class SqliteMessages(SqliteStore):
    """`fanout.ports.messages.Messages` in a file that several processes of one machine may share."""

    schema = SCHEMA

    async def claim_for(self, deployment: str, *, adopt: bool = False) -> None:
        """Write the deployment's id to the file, or check the one that it carries.

        Args:
            deployment: the id.
            adopt: also write it to a file that holds messages.

        Raises:
            ForeignStore: the file carries another id; or it carries none, holds messages, and `adopt` is false.
        """
        await ownership.claim(self._database, "messages", deployment, content="messages", adopt=adopt)

    async def write(self, messages: Sequence[StoredMessage], newest: LogPlace | None = None) -> None:
        """See the port. One transaction writes all of `messages`."""
        rows = [(message.channel_id, *values_of(message)) for message in messages]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(_INSERT, rows)
            if newest is not None:
                connection.execute(_KEEP_PLACE, newest)

        await self._database.write(work)

    async def newest_place(self) -> LogPlace | None:
        """See the port."""

        def work(connection: sqlite3.Connection) -> LogPlace | None:
            row = connection.execute("SELECT seq, stored_ns FROM log_place").fetchone()
            return None if row is None else LogPlace(*row)

        return await self._database.read(work)

    async def position_of(self, channel_id: str, message_id: str) -> Position | None:
        """See the port."""

        def work(connection: sqlite3.Connection) -> Position | None:
            row = connection.execute(
                "SELECT seq FROM messages WHERE message_id = ? AND channel_id = ?", (message_id, channel_id)
            ).fetchone()
            return None if row is None else Position(row[0], message_id)

        return await self._database.read(work)

    async def history(
        self,
        channel_id: str,
        *,
        before: Position | None = None,
        after: Position | None = None,
        limit: int = 50,
        max_bytes: int | None = None,
    ) -> Page:
        """See the port."""
        query, parameters = _page(channel_id, before, after, limit)

        def work(connection: sqlite3.Connection) -> Page:
            rows = connection.execute(query, parameters)
            try:
                return cut((message_of(channel_id, row[1:]) for row in rows), limit, max_bytes)
            finally:
                rows.close()

        page = await self._database.read(work)
        return page if after is None else page._replace(messages=page.messages[::-1])

    async def cursor_key(self) -> bytes:
        """See the port."""
        made = machine.random_bytes(_KEY_BYTES)

        def make(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR IGNORE INTO secrets (name, value) VALUES ('cursors', ?)", (made,))

        if (kept := await self._database.read(_cursor_key)) is not None:
            return kept  # no write, since a full disk refuses it
        await self._database.write(make)
        return await self._database.read(_cursor_key) or made


def _page(channel_id: str, before: Position | None, after: Position | None, limit: int) -> tuple[str, list[str | int]]:
    query, parameters = _SELECT, list[str | int]([channel_id])
    for bound, condition in ((before, " AND (seq, message_id) < (?, ?)"), (after, " AND (seq, message_id) > (?, ?)")):
        if bound is not None:
            query += condition
            parameters += bound
    way = "DESC" if after is None else "ASC"
    # One row more than the page holds shows what follows it.
    return f"{query} ORDER BY seq {way}, message_id {way} LIMIT ?", [*parameters, limit + 1 if limit > 0 else 0]


def _cursor_key(connection: sqlite3.Connection) -> bytes | None:
    row = connection.execute("SELECT value FROM secrets WHERE name = 'cursors'").fetchone()
    return None if row is None else bytes(row[0])
