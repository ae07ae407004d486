"""The message store in SQLite."""

import sqlite3
from collections.abc import Sequence
from typing import Final

from fanout import machine
from fanout.events import StoredMessage
from fanout.message_rows import FORMS, IN_CHANNELS, IN_THREADS, RowForm, forms_of
from fanout.pages import cut
from fanout.ports.messages import IndexEntry, LogPlace, Page, Position
from services.adapters.sqlite import ownership, receipts
from services.adapters.sqlite.database import UNRELEASED, Schema
from services.adapters.sqlite.receipts import SqliteReceipts

_KEY_BYTES: Final = 32
_HIGHEST: Final = (1 << 63) - 1
_TABLES: Final = {IN_CHANNELS: "messages", IN_THREADS: "thread_messages"}

_THREADS: Final = (
    "ALTER TABLE messages ADD COLUMN also_send_to_channel INTEGER",
    """CREATE TABLE thread_messages (
        thread_id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        message_id TEXT NOT NULL UNIQUE,
        channel_id TEXT NOT NULL,
        sender_id TEXT NOT NULL,
        text TEXT NOT NULL,
        sent_at TEXT NOT NULL,
        mentions TEXT,
        attachments TEXT,
        client_msg_id TEXT,
        also_send_to_channel INTEGER,
        PRIMARY KEY (thread_id, seq, message_id)
    ) STRICT, WITHOUT ROWID""",
)

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
    _THREADS,
    receipts.STATEMENTS,
)


def _insert(form: RowForm) -> str:
    columns, marks = ", ".join((form.owner, *form.columns)), ", ".join("?" * (1 + len(form.columns)))
    return f"""
        INSERT INTO {_TABLES[form]} ({columns}) VALUES ({marks})
        ON CONFLICT DO UPDATE SET seq = excluded.seq
        WHERE excluded.seq > seq AND excluded.{form.owner} = {form.owner}"""  # noqa: S608 - constants


def _select(form: RowForm) -> str:
    columns = ", ".join(form.columns)
    return f"SELECT {columns} FROM {_TABLES[form]} WHERE {form.owner} = ?"  # noqa: S608 - constants


_INSERTS: Final = {form: _insert(form) for form in FORMS}
_SELECTS: Final = {form: _select(form) for form in FORMS}
_WHERE: Final = """
    SELECT channel_id, seq, thread_id, sender_id FROM messages WHERE message_id = ?1
    UNION ALL SELECT channel_id, seq, thread_id, sender_id FROM thread_messages WHERE message_id = ?1 LIMIT 1"""
_KEEP_PLACE: Final = """
    INSERT INTO log_place (one, seq, stored_ns) VALUES (1, ?, ?)
    ON CONFLICT DO UPDATE SET seq = excluded.seq, stored_ns = excluded.stored_ns WHERE excluded.seq > seq"""


class SqliteMessages(SqliteReceipts):
    """`fanout.ports.messages.Messages` in a file that several processes of one machine may share.

    It also has the read receipts.
    """

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
        rows: dict[RowForm, list[tuple[str | int | None, ...]]] = {form: [] for form in FORMS}
        for message in messages:
            for form in forms_of(message):
                rows[form].append((form.owner_of(message), *form.values_of(message)))

        def work(connection: sqlite3.Connection) -> None:
            for form, of_form in rows.items():
                connection.executemany(_INSERTS[form], of_form)
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
        entry = await self.index_entry(message_id)
        return entry.position if entry is not None and entry.channel_id == channel_id else None

    async def index_entry(self, message_id: str) -> IndexEntry | None:
        """See the port."""

        def work(connection: sqlite3.Connection) -> IndexEntry | None:
            row = connection.execute(_WHERE, (message_id,)).fetchone()
            return None if row is None else IndexEntry(row[0], Position(row[1], message_id), *row[2:])

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
        upwards = after is not None
        page = await self._page(IN_CHANNELS, channel_id, before, after, limit, max_bytes, upwards=upwards)
        return page._replace(messages=page.messages[::-1]) if upwards else page

    async def replies(
        self, thread_id: str, *, after: Position | None = None, limit: int = 50, max_bytes: int | None = None
    ) -> Page:
        """See the port."""
        return await self._page(IN_THREADS, thread_id, None, after, limit, max_bytes, upwards=True)

    async def reply_count(self, thread_id: str, *, after: int = -1, upto: int | None = None) -> int:
        """See the port."""
        query = "SELECT count(*) FROM thread_messages WHERE thread_id = ? AND seq > ? AND seq <= ?"
        parameters = (thread_id, after, _HIGHEST if upto is None else upto)
        return await self._database.read(lambda connection: int(connection.execute(query, parameters).fetchone()[0]))

    async def cursor_key(self) -> bytes:
        """See the port."""
        made = machine.random_bytes(_KEY_BYTES)

        def make(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR IGNORE INTO secrets (name, value) VALUES ('cursors', ?)", (made,))

        if (kept := await self._database.read(_cursor_key)) is not None:
            return kept  # no write, since a full disk refuses it
        await self._database.write(make)
        return await self._database.read(_cursor_key) or made

    async def _page(
        self,
        form: RowForm,
        owner: str,
        before: Position | None,
        after: Position | None,
        limit: int,
        max_bytes: int | None,
        *,
        upwards: bool,
    ) -> Page:
        """A page of one table, in the order of reading."""
        query, parameters = _paging(form, owner, before, after, limit, upwards=upwards)

        def work(connection: sqlite3.Connection) -> Page:
            rows = connection.execute(query, parameters)
            try:
                return cut((form.message_of(owner, row) for row in rows), limit, max_bytes)
            finally:
                rows.close()

        return await self._database.read(work)


def _paging(
    form: RowForm, owner: str, before: Position | None, after: Position | None, limit: int, *, upwards: bool
) -> tuple[str, list[str | int]]:
    query, parameters = _SELECTS[form], list[str | int]([owner])
    for bound, condition in ((before, " AND (seq, message_id) < (?, ?)"), (after, " AND (seq, message_id) > (?, ?)")):
        if bound is not None:
            query += condition
            parameters += bound
    way = "ASC" if upwards else "DESC"
    # One row more than the page holds shows what follows it.
    return f"{query} ORDER BY seq {way}, message_id {way} LIMIT ?", [*parameters, limit + 1 if limit > 0 else 0]


def _cursor_key(connection: sqlite3.Connection) -> bytes | None:
    row = connection.execute("SELECT value FROM secrets WHERE name = 'cursors'").fetchone()
    return None if row is None else bytes(row[0])
