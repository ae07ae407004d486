"""The channels that users are most active in, in SQLite: a table in the file of unread counts."""

import sqlite3
from collections.abc import Sequence
from typing import Final

from fanout.ports.client_state import MOST_ACTIVE
from services.adapters.sqlite.store import SqliteStore

STATEMENTS: Final = (
    """CREATE TABLE active_channels (
        user_id TEXT NOT NULL,
        channel_id TEXT NOT NULL,
        use INTEGER NOT NULL,
        PRIMARY KEY (user_id, channel_id)
    ) STRICT, WITHOUT ROWID""",
)
"""The table, which is part of the store's schema. A later use has a higher number."""

_NOTE: Final = """
    INSERT INTO active_channels (user_id, channel_id, use)
    VALUES (:user, :channel, 1 + (SELECT coalesce(max(use), 0) FROM active_channels WHERE user_id = :user))
    ON CONFLICT DO UPDATE SET use = excluded.use"""
_FORGET: Final = f"""
    DELETE FROM active_channels WHERE user_id = :user AND use <= (
        SELECT use FROM active_channels WHERE user_id = :user ORDER BY use DESC LIMIT 1 OFFSET {MOST_ACTIVE})"""  # noqa: S608 - constants
_ACTIVE: Final = "SELECT channel_id FROM active_channels WHERE user_id = ? ORDER BY use DESC"


class SqliteClientState(SqliteStore):
    """`fanout.ports.client_state.ClientState`."""

    async def note_used(self, used: Sequence[tuple[str, str]]) -> None:
        """See the port."""

        def work(connection: sqlite3.Connection) -> None:
            for user_id, channel_id in used:
                connection.execute(_NOTE, {"user": user_id, "channel": channel_id})
                connection.execute(_FORGET, {"user": user_id})

        await self._database.write(work)

    async def active_channels(self, user_id: str) -> list[str]:
        """See the port."""

        def work(connection: sqlite3.Connection) -> list[str]:
            return [channel_id for (channel_id,) in connection.execute(_ACTIVE, (user_id,))]

        return await self._database.read(work)
