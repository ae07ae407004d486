"""Imports into the file of the membership store: a transaction for each call."""

import sqlite3
from collections.abc import Callable, Collection, Sequence
from typing import Final

from fanout.errors import ChannelNotFound
from fanout.ports.imports import NewMembership
from fanout.ports.memberships import Channel
from services.adapters.sqlite.database import Database
from services.adapters.sqlite.membership_rows import add, as_json

STATEMENTS: Final = (
    """CREATE TABLE imports (
        name TEXT PRIMARY KEY,
        progress TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
)
"""The table, which is part of the schema of the membership store."""

_MISSING: Final = """
    SELECT value FROM json_each(?) AS asked
    WHERE NOT EXISTS (SELECT 1 FROM channels WHERE channel_id = asked.value)"""


class SqliteImports:
    """`fanout.ports.imports.Imports`. The caller that opened the database closes it.

    Args:
        database: the file.
        clock: returns microseconds since 1970.
    """

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock

    async def missing_channels(self, channel_ids: Collection[str]) -> set[str]:
        """See the port."""
        return await self._database.read(lambda connection: _missing(connection, channel_ids))

    async def create_channels(self, channels: Sequence[Channel]) -> int:
        """See the port."""
        rows = [(each.channel_id, each.name, each.private, each.created_by, each.created_at) for each in channels]

        def work(connection: sqlite3.Connection) -> int:
            return connection.executemany(
                """INSERT INTO channels (channel_id, name, private, created_by, created_at)
                   VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING""",
                rows,
            ).rowcount

        return await self._database.write(work)

    async def add_memberships(self, new: Sequence[NewMembership], *, published: bool = False) -> int:
        """See the port."""

        def work(connection: sqlite3.Connection) -> int:
            if missing := _missing(connection, {each.channel_id for each in new}):
                raise ChannelNotFound(f"there is no channel {min(missing)}")
            return add(connection, new, self._clock(), published=published)

        return await self._database.write(work)

    async def progress(self, name: str) -> str | None:
        """See the port."""

        def work(connection: sqlite3.Connection) -> str | None:
            row = connection.execute("SELECT progress FROM imports WHERE name = ?", (name,)).fetchone()
            return None if row is None else str(row[0])

        return await self._database.read(work)

    async def keep_progress(self, name: str, progress: str) -> None:
        """See the port."""
        await self._database.write(
            lambda connection: connection.execute("INSERT OR REPLACE INTO imports VALUES (?, ?)", (name, progress))
        )


def _missing(connection: sqlite3.Connection, channel_ids: Collection[str]) -> set[str]:
    return {channel_id for (channel_id,) in connection.execute(_MISSING, (as_json(list(channel_ids)),))}
