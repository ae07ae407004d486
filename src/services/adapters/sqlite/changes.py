"""The record of what changed for a user, in SQLite: a table in the file of the store that changes it."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from fanout import machine
from fanout.ports.changes import CHANGES_KEPT, CHANGES_KEPT_S
from services.adapters.sqlite.store import SqliteStore

STATEMENTS: Final = (
    """CREATE TABLE changed (
        user_id TEXT NOT NULL,
        channel_id TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        PRIMARY KEY (user_id, channel_id)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX changed_at ON changed (user_id, at_ms)",
)
"""The table, which is part of the store's schema."""

_NOTE: Final = """
    INSERT INTO changed (user_id, channel_id, at_ms) VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET at_ms = excluded.at_ms"""
_FORGET_OLD: Final = "DELETE FROM changed WHERE user_id = ? AND at_ms < ?"
_FORGET_MOST: Final = """
    DELETE FROM changed WHERE user_id = :user AND at_ms < (
        SELECT at_ms FROM changed WHERE user_id = :user ORDER BY at_ms DESC LIMIT 1 OFFSET :kept)"""
_CHANGED: Final = """
    SELECT user_id, channel_id FROM changed
    WHERE user_id IN (SELECT value FROM json_each(?)) AND at_ms >= ? ORDER BY user_id, at_ms"""


def note_change(connection: sqlite3.Connection, user_id: str, channel_id: str) -> None:
    """Note in a transaction that something of a channel changed for a user."""
    now = _now_ms()
    connection.execute(_NOTE, (user_id, channel_id, now))
    connection.execute(_FORGET_OLD, (user_id, now - CHANGES_KEPT_S * 1_000))
    connection.execute(_FORGET_MOST, {"user": user_id, "kept": CHANGES_KEPT - 1})


def _now_ms() -> int:
    return machine.wall_ns() // 1_000_000


class SqliteChanges(SqliteStore):
    """`fanout.ports.changes.Changes`."""

    async def changed(self, user_ids: Sequence[str], within_s: float) -> Mapping[str, Sequence[str]]:
        """See the port."""
        asked = orjson.dumps(list(user_ids)).decode()
        since = _now_ms() - int(within_s * 1_000)

        def work(connection: sqlite3.Connection) -> Mapping[str, Sequence[str]]:
            found: dict[str, list[str]] = {}
            for user_id, channel_id in connection.execute(_CHANGED, (asked, since)):
                found.setdefault(user_id, []).append(channel_id)
            return found

        return await self._database.read(work)
