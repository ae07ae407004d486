"""Memberships in SQLite."""

import sqlite3
from collections.abc import Sequence
from typing import Final

import orjson

from fanout.errors import ChannelExists, ChannelNotFound
from fanout.ports.memberships import Channel, Membership
from services.adapters.sqlite import deployment
from services.adapters.sqlite.database import Database, Schema
from services.adapters.sqlite.deployment import SqliteDeployment
from services.adapters.sqlite.store import Store

SCHEMA: Final[Schema] = (
    (
        """CREATE TABLE channels (
            channel_id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            private INTEGER NOT NULL,
            created_by TEXT NOT NULL,
            created_at TEXT NOT NULL
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE memberships (
            channel_id TEXT NOT NULL,
            user_id TEXT NOT NULL,
            joined_at TEXT NOT NULL,
            PRIMARY KEY (channel_id, user_id)
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX memberships_by_user ON memberships (user_id, channel_id)",
        *deployment.STATEMENTS,
    ),
)


class SqliteMemberships(Store):
    """`fanout.ports.memberships.Memberships` in a file that several processes of one machine may share."""

    schema = SCHEMA

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.deployment = SqliteDeployment(database)
        """The deployment, which is kept in the same file."""

    async def create(self, channel: Channel, members: Sequence[str]) -> list[Membership]:
        """See the port."""

        def work(connection: sqlite3.Connection) -> list[Membership]:
            _insert_channel(connection, channel)
            return _add(connection, channel.channel_id, members, channel.created_at)

        return await self._database.write(work)

    async def channel(self, channel_id: str) -> Channel | None:
        """See the port."""
        return await self._database.read(lambda connection: _channel(connection, channel_id))

    async def add(self, channel_id: str, user_ids: Sequence[str], joined_at: str) -> list[Membership]:
        """See the port."""

        def work(connection: sqlite3.Connection) -> list[Membership]:
            if _channel(connection, channel_id) is None:
                raise ChannelNotFound(f"there is no channel {channel_id}")
            return _add(connection, channel_id, user_ids, joined_at)

        return await self._database.write(work)

    async def remove(self, channel_id: str, user_id: str) -> Membership | None:
        """See the port."""

        def work(connection: sqlite3.Connection) -> Membership | None:
            ended = connection.execute(
                "DELETE FROM memberships WHERE channel_id = ? AND user_id = ? RETURNING joined_at",
                (channel_id, user_id),
            ).fetchall()
            return Membership(channel_id, user_id, ended[0][0]) if ended else None

        return await self._database.write(work)

    async def is_member(self, channel_id: str, user_id: str) -> bool:
        """See the port."""
        found = await self._strings(
            "SELECT user_id FROM memberships WHERE channel_id = ? AND user_id = ?", channel_id, user_id
        )
        return bool(found)

    async def channels_of(self, user_id: str) -> list[str]:
        """See the port."""
        return await self._strings("SELECT channel_id FROM memberships WHERE user_id = ? ORDER BY channel_id", user_id)

    async def members_of(self, channel_id: str) -> list[str]:
        """See the port."""
        return await self._strings("SELECT user_id FROM memberships WHERE channel_id = ? ORDER BY user_id", channel_id)

    async def _strings(self, query: str, *parameters: str) -> list[str]:
        def work(connection: sqlite3.Connection) -> list[str]:
            return [value for (value,) in connection.execute(query, parameters)]

        return await self._database.read(work)


def _insert_channel(connection: sqlite3.Connection, channel: Channel) -> None:
    try:
        connection.execute(
            "INSERT INTO channels (channel_id, name, private, created_by, created_at) VALUES (?, ?, ?, ?, ?)",
            (channel.channel_id, channel.name, channel.private, channel.created_by, channel.created_at),
        )
    except sqlite3.IntegrityError as error:
        raise ChannelExists(f"there is a channel {channel.channel_id} already") from error


def _channel(connection: sqlite3.Connection, channel_id: str) -> Channel | None:
    row = connection.execute(
        "SELECT channel_id, name, private, created_by, created_at FROM channels WHERE channel_id = ?",
        (channel_id,),
    ).fetchone()
    if row is None:
        return None
    found, name, private, created_by, created_at = row
    return Channel(found, name, bool(private), created_by, created_at)


def _add(connection: sqlite3.Connection, channel_id: str, user_ids: Sequence[str], joined_at: str) -> list[Membership]:
    users = orjson.dumps(list(user_ids)).decode()  # one parameter, however many users
    connection.execute(
        """INSERT INTO memberships (channel_id, user_id, joined_at)
           SELECT ?, value, ? FROM json_each(?) WHERE true ON CONFLICT DO NOTHING""",
        (channel_id, joined_at, users),
    )
    rows = connection.execute(
        """SELECT m.user_id, m.joined_at FROM json_each(?) AS asked
           JOIN memberships AS m ON m.channel_id = ? AND m.user_id = asked.value ORDER BY asked.key""",
        (users, channel_id),
    )
    return [Membership(channel_id, user_id, joined) for user_id, joined in rows]
