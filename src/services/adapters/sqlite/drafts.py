"""Drafts in SQLite: a table in the file of unread counts, since leaving a channel ends both."""

import sqlite3
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import orjson

from fanout import machine
from fanout.errors import Unavailable
from fanout.events import later_timestamp, timestamp
from fanout.ports.drafts import DRAFT_KEPT_S, MEMBERSHIP_NOT_COUNTED, Base, Draft, DraftContent, Saved
from services.adapters.sqlite.changes import note_change
from services.adapters.sqlite.store import SqliteStore

STATEMENTS: Final = (
    """CREATE TABLE drafts (
        user_id TEXT NOT NULL,
        channel_id TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        device_id TEXT NOT NULL,
        content TEXT,
        PRIMARY KEY (user_id, channel_id)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX drafts_by_time ON drafts (updated_at)",
)
"""The table, which is part of the store's schema. A deleted draft has no content."""

_OF_CHANNEL: Final = " WHERE user_id = ? AND channel_id = ?"
_SELECT: Final = f"SELECT content, updated_at, device_id FROM drafts{_OF_CHANNEL} AND updated_at >= ?"  # noqa: S608 - constants
_REPLACE: Final = "INSERT OR REPLACE INTO drafts VALUES (?, ?, ?, ?, ?)"
_HAS_LEFT: Final = f"SELECT has_left FROM pointers{_OF_CHANNEL}"  # noqa: S608 - constants


def delete_draft(connection: sqlite3.Connection, user_id: str, channel_id: str) -> None:
    """Forget a draft in a transaction, since the user has left the channel."""
    connection.execute(f"DELETE FROM drafts{_OF_CHANNEL}", (user_id, channel_id))  # noqa: S608 - constants


class SqliteDrafts(SqliteStore):
    """`fanout.ports.drafts.Drafts`."""

    async def drafts(self, user_id: str, channel_ids: Sequence[str]) -> list[Draft]:
        """See the port."""

        def work(connection: sqlite3.Connection) -> list[Draft]:
            return [_draft(connection, user_id, channel_id) for channel_id in channel_ids]

        return await self._database.read(work)

    async def save_draft(
        self,
        user_id: str,
        channel_id: str,
        content: DraftContent | None,
        *,
        now: str,
        device_id: str = "",
        base: Base | None = None,
    ) -> Saved:
        """See the port. Drafts whose time is over are deleted at the same time."""

        def work(connection: sqlite3.Connection) -> Saved:
            left = connection.execute(_HAS_LEFT, (user_id, channel_id)).fetchone()
            if left is not None and left[0]:
                raise Unavailable(MEMBERSHIP_NOT_COUNTED)
            there = _draft(connection, user_id, channel_id)
            if base is not None and (base.updated_at or "") != there.updated_at:
                return Saved(there, is_refused=True)
            at = now if now > there.updated_at else later_timestamp(there.updated_at)
            connection.execute(_REPLACE, (user_id, channel_id, at, device_id, _encoded(content)))
            connection.execute("DELETE FROM drafts WHERE updated_at < ?", (_oldest(),))
            note_change(connection, user_id, channel_id)
            return Saved(Draft(content, at, device_id))

        return await self._database.write(work)


def _oldest() -> str:
    return timestamp(machine.utc_now() - timedelta(seconds=DRAFT_KEPT_S))


def _draft(connection: sqlite3.Connection, user_id: str, channel_id: str) -> Draft:
    row = connection.execute(_SELECT, (user_id, channel_id, _oldest())).fetchone()
    if row is None:
        return Draft()
    content, updated_at, device_id = row
    return Draft(None if content is None else DraftContent(**orjson.loads(content)), updated_at, device_id)


def _encoded(content: DraftContent | None) -> str | None:
    return None if content is None else orjson.dumps(content).decode()
