"""The followers of threads in SQLite, in the file of the membership store."""

import sqlite3
from collections.abc import Sequence
from typing import Final

import orjson

from services.adapters.sqlite.store import SqliteStore

STATEMENTS: Final = (
    """CREATE TABLE thread_followers (
        thread_id TEXT NOT NULL,
        user_id TEXT NOT NULL,
        channel_id TEXT NOT NULL,
        membership_id TEXT NOT NULL,
        PRIMARY KEY (thread_id, user_id)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX thread_followers_by_member ON thread_followers (channel_id, user_id)",
)
"""The table, a part of the membership store's schema. `membership_id`: the membership by which a user follows."""

_MEMBERS: Final = """
    FROM json_each(:users) AS asked
    JOIN memberships AS m ON m.channel_id = :channel AND m.user_id = asked.value AND m.left_at IS NULL"""
_SOME_MISSING: Final = f"""
    SELECT 1 {_MEMBERS} LEFT JOIN thread_followers AS f ON f.thread_id = :thread AND f.user_id = m.user_id
    WHERE f.membership_id IS NOT m.membership_id LIMIT 1"""
_FOLLOW: Final = f"""
    INSERT INTO thread_followers (thread_id, user_id, channel_id, membership_id)
    SELECT :thread, m.user_id, :channel, m.membership_id {_MEMBERS} WHERE true
    ON CONFLICT DO UPDATE SET channel_id = excluded.channel_id, membership_id = excluded.membership_id"""
_FOLLOWERS: Final = """
    SELECT f.user_id FROM thread_followers AS f
    JOIN memberships AS m ON m.channel_id = f.channel_id AND m.user_id = f.user_id
        AND m.membership_id = f.membership_id AND m.left_at IS NULL
    WHERE f.thread_id = ? ORDER BY f.user_id"""


class SqliteFollowers(SqliteStore):
    """`fanout.ports.followers.Followers`, as a part of the membership store."""

    async def follow(self, channel_id: str, thread_id: str, user_ids: Sequence[str]) -> None:
        """See the port. Nothing is written if all of them follow already."""
        values = {"channel": channel_id, "thread": thread_id, "users": orjson.dumps(list(user_ids)).decode()}

        def is_incomplete(connection: sqlite3.Connection) -> bool:
            return connection.execute(_SOME_MISSING, values).fetchone() is not None

        if await self._database.read(is_incomplete):
            await self._database.write(lambda connection: connection.execute(_FOLLOW, values))

    async def followers_of(self, thread_id: str) -> list[str]:
        """See the port."""
        return await self._database.read(
            lambda connection: [user_id for (user_id,) in connection.execute(_FOLLOWERS, (thread_id,))]
        )


def remove_follower(connection: sqlite3.Connection, channel_id: str, user_id: str) -> None:
    """Delete what a user follows in a channel, within the caller's transaction."""
    connection.execute("DELETE FROM thread_followers WHERE channel_id = ? AND user_id = ?", (channel_id, user_id))
