"""The membership store in SQLite."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import astuple
from typing import Any, Final

from fanout import packed_ids
from fanout.errors import ChannelExists, ChannelNotFound
from fanout.membership_versions import now_us
from fanout.ports.imports import NewMembership
from fanout.ports.memberships import ENDED_KEPT_S, Channel, Membership
from services.adapters.sqlite import deployment, devices, followers, imports
from services.adapters.sqlite.database import UNRELEASED, Database, Schema
from services.adapters.sqlite.deployment import SqliteDeployment
from services.adapters.sqlite.devices import SqliteDevices
from services.adapters.sqlite.followers import SqliteFollowers, remove_follower
from services.adapters.sqlite.imports import SqliteImports
from services.adapters.sqlite.membership_rows import COLUMNS, OF_USERS, SELECT, add, as_json, read
from services.runtime.stored_ids import pack_stored

_TABLES: Final = (
    """CREATE TABLE channels (
        channel_id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        private INTEGER NOT NULL,
        created_by TEXT NOT NULL,
        created_at TEXT NOT NULL,
        pending TEXT
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX channels_unfinished ON channels (channel_id) WHERE pending IS NOT NULL",
    """CREATE TABLE memberships (
        channel_id TEXT NOT NULL,
        user_id TEXT NOT NULL,
        membership_id TEXT NOT NULL,
        version INTEGER NOT NULL,
        joined_at TEXT NOT NULL,
        left_at TEXT,
        untold INTEGER NOT NULL,
        told_at INTEGER,
        PRIMARY KEY (channel_id, user_id)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX memberships_by_user ON memberships (user_id, channel_id) WHERE left_at IS NULL",
    "CREATE INDEX memberships_by_version ON memberships (version)",
    "CREATE INDEX memberships_untold ON memberships (version) WHERE untold = 1",
    "CREATE INDEX memberships_ended ON memberships (told_at) WHERE left_at IS NOT NULL AND untold = 0",
    "CREATE TABLE deleted (version INTEGER NOT NULL) STRICT",
    "INSERT INTO deleted VALUES (0)",
    *deployment.STATEMENTS,
)
"""`pending`: the first members, until their events are published. `deleted`: the highest version of deleted rows."""

_KINDS: Final = ("ALTER TABLE channels ADD COLUMN kind TEXT NOT NULL DEFAULT 'channel'",)

SCHEMA: Final[Schema] = (UNRELEASED, _TABLES, _KINDS, imports.STATEMENTS, followers.STATEMENTS, devices.STATEMENTS)

READ_AT_ONCE: Final = 500
"""Ids that are packed together. Longer lists of strings would cost the garbage collector more."""

_CHANNEL_COLUMNS: Final = "channel_id, name, private, created_by, created_at, kind"

_CHANNELS_OF: Final = """
    SELECT channel_id FROM memberships WHERE user_id = ? AND left_at IS NULL ORDER BY channel_id"""

_PAGE_OF_CHANNELS: Final = f"""
    SELECT {_CHANNEL_COLUMNS} FROM memberships JOIN channels USING (channel_id)
    WHERE user_id = ? AND left_at IS NULL AND channel_id > ? ORDER BY channel_id LIMIT ?"""  # noqa: S608 - constants

_PRUNED: Final = """
    SELECT channel_id, user_id, version FROM memberships
    WHERE left_at IS NOT NULL AND untold = 0 AND told_at <= ? ORDER BY told_at LIMIT ?"""


class SqliteMemberships(SqliteFollowers, SqliteDevices):
    """`fanout.ports.memberships.Memberships` in a file that several processes of one machine may share.

    It also has the followers of threads, and the devices of users.

    Args:
        database: the file.
        clock: returns microseconds since 1970.
    """

    schema = SCHEMA

    def __init__(self, database: Database, clock: Callable[[], int] = now_us) -> None:
        super().__init__(database)
        self._clock = clock
        self.deployment = SqliteDeployment(database)
        """The deployment, which the same file keeps."""
        self.imports = SqliteImports(database, clock)
        """Bulk writes to the same file."""

    async def create(self, channel: Channel, members: Sequence[str], *, published: bool = False) -> list[Membership]:
        """See the port. One transaction writes everything."""

        def work(connection: sqlite3.Connection) -> list[Membership]:
            _insert_channel(connection, channel, None if published else as_json(members))
            return self._add(connection, channel.channel_id, members, channel.created_at, published=published)

        return await self._database.write(work)

    async def channel(self, channel_id: str) -> Channel | None:
        """See the port."""
        return await self._database.read(lambda connection: _channel(connection, channel_id))

    async def unfinished(self, limit: int) -> list[str]:
        """See the port."""
        return await self._strings("SELECT channel_id FROM channels WHERE pending IS NOT NULL LIMIT ?", limit)

    async def resume_creation(self, channel_id: str) -> list[Membership] | None:
        """See the port. The members were written together with the channel, so none is missing."""

        def work(connection: sqlite3.Connection) -> list[Membership] | None:
            row = connection.execute("SELECT pending FROM channels WHERE channel_id = ?", (channel_id,)).fetchone()
            return None if row is None or row[0] is None else read(connection, OF_USERS, row[0], channel_id)

        return await self._database.read(work)

    async def creation_published(self, channel_id: str) -> None:
        """See the port."""
        await self._database.write(
            lambda connection: connection.execute(
                "UPDATE channels SET pending = NULL WHERE channel_id = ?", (channel_id,)
            )
        )

    async def add(self, channel_id: str, user_ids: Sequence[str], joined_at: str) -> list[Membership]:
        """See the port."""

        def work(connection: sqlite3.Connection) -> list[Membership]:
            if _channel(connection, channel_id) is None:
                raise ChannelNotFound(f"there is no channel {channel_id}")
            return self._add(connection, channel_id, user_ids, joined_at)

        return await self._database.write(work)

    async def remove(self, channel_id: str, user_id: str, left_at: str) -> Membership | None:
        """See the port."""

        def work(connection: sqlite3.Connection) -> Membership | None:
            connection.execute(
                """UPDATE memberships SET left_at = ?, version = max(?, version + 1), untold = 1, told_at = NULL
                   WHERE channel_id = ? AND user_id = ? AND left_at IS NULL""",
                (left_at, self._clock(), channel_id, user_id),
            )
            return _membership(connection, channel_id, user_id)

        return await self._database.write(work)

    async def membership(self, channel_id: str, user_id: str) -> Membership | None:
        """See the port."""
        return await self._database.read(lambda connection: _membership(connection, channel_id, user_id))

    async def is_member(self, channel_id: str, user_id: str) -> bool:
        """See the port."""
        found = await self._strings(
            "SELECT user_id FROM memberships WHERE channel_id = ? AND user_id = ? AND left_at IS NULL",
            channel_id,
            user_id,
        )
        return bool(found)

    async def packed_channels_of(self, user_id: str) -> bytes:
        """See the port."""

        def work(connection: sqlite3.Connection) -> bytes:
            rows = connection.execute(_CHANNELS_OF, (user_id,))
            batches = iter(lambda: rows.fetchmany(READ_AT_ONCE), [])
            return packed_ids.join([pack_stored([value for (value,) in batch], "channel_id") for batch in batches])

        return await self._database.read(work)

    async def channels_page(self, user_id: str, after: str, limit: int) -> list[Channel]:
        """See the port."""

        def work(connection: sqlite3.Connection) -> list[Channel]:
            rows = connection.execute(_PAGE_OF_CHANNELS, (user_id, after, limit)).fetchall()
            return [_channel_of(row) for row in rows]

        return await self._database.read(work)

    async def members_of(self, channel_id: str) -> list[str]:
        """See the port."""
        return await self._strings(
            "SELECT user_id FROM memberships WHERE channel_id = ? AND left_at IS NULL ORDER BY user_id", channel_id
        )

    async def member_count(self, channel_id: str, limit: int) -> int:
        """See the port."""
        query = "SELECT count(*) FROM (SELECT 1 FROM memberships WHERE channel_id = ? AND left_at IS NULL LIMIT ?)"
        row = await self._database.read(lambda connection: connection.execute(query, (channel_id, limit)).fetchone())
        return int(row[0])

    async def unpublished(self, limit: int) -> list[Membership]:
        """See the port."""
        query = f"{SELECT} WHERE untold = 1 ORDER BY version LIMIT ?"
        return await self._database.read(lambda connection: read(connection, query, limit))

    async def count_unpublished(self) -> int:
        """See the port."""
        query = "SELECT count(*) FROM memberships WHERE untold = 1"
        return await self._database.read(lambda connection: int(connection.execute(query).fetchone()[0]))

    async def renew(self, memberships: Sequence[Membership]) -> list[Membership]:
        """See the port."""

        def work(connection: sqlite3.Connection) -> list[Membership]:
            query = f"""UPDATE memberships SET version = max(?, version + 1)
                        WHERE channel_id = ? AND user_id = ? AND version = ? AND untold = 1 RETURNING {COLUMNS}"""  # noqa: S608 - constants
            now = self._clock()
            return [found for each in memberships for found in read(connection, query, now, *_change(each))]

        return await self._database.write(work)

    async def mark_published(self, memberships: Sequence[Membership]) -> None:
        """See the port."""

        def work(connection: sqlite3.Connection) -> None:
            now = self._clock()
            connection.executemany(
                """UPDATE memberships SET untold = 0, told_at = ?
                   WHERE channel_id = ? AND user_id = ? AND version = ?""",
                [(now, *_change(each)) for each in memberships],
            )

        await self._database.write(work)

    async def changed_since(self, version: int, *, limit: int, after: Membership | None = None) -> list[Membership]:
        """See the port."""
        start = (version, "", "") if after is None else (after.version, after.channel_id, after.user_id)
        query = f"""{SELECT} WHERE (version, channel_id, user_id) > (?, ?, ?)
                    ORDER BY version, channel_id, user_id LIMIT ?"""
        return await self._database.read(lambda connection: read(connection, query, *start, limit))

    async def prune(self, limit: int) -> int:
        """See the port."""

        def work(connection: sqlite3.Connection) -> int:
            published_before = self._clock() - ENDED_KEPT_S * 1_000_000
            rows = connection.execute(_PRUNED, (published_before, limit)).fetchall()
            if rows:
                highest = max(version for _, _, version in rows)
                connection.execute("UPDATE deleted SET version = max(version, ?)", (highest,))
                for channel_id, user_id, _ in rows:
                    remove_follower(connection, channel_id, user_id)
                connection.executemany(
                    "DELETE FROM memberships WHERE channel_id = ? AND user_id = ? AND version = ?", rows
                )
            return len(rows)

        return await self._database.write(work)

    def _add(
        self,
        connection: sqlite3.Connection,
        channel_id: str,
        user_ids: Sequence[str],
        joined_at: str,
        *,
        published: bool = False,
    ) -> list[Membership]:
        rows = [NewMembership(channel_id, user_id, joined_at) for user_id in user_ids]
        add(connection, rows, self._clock(), published=published)
        return read(connection, OF_USERS, as_json(user_ids), channel_id)

    async def _strings(self, query: str, *parameters: Any) -> list[str]:
        def work(connection: sqlite3.Connection) -> list[str]:
            return [value for (value,) in connection.execute(query, parameters)]

        return await self._database.read(work)


def _insert_channel(connection: sqlite3.Connection, channel: Channel, pending: str | None) -> None:
    try:
        connection.execute(
            f"INSERT INTO channels ({_CHANNEL_COLUMNS}, pending) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
            (*astuple(channel), pending),
        )
    except sqlite3.IntegrityError as error:
        raise ChannelExists(f"there is a channel {channel.channel_id} already") from error


def _channel(connection: sqlite3.Connection, channel_id: str) -> Channel | None:
    row = connection.execute(
        f"SELECT {_CHANNEL_COLUMNS} FROM channels WHERE channel_id = ?",  # noqa: S608 - constants
        (channel_id,),
    ).fetchone()
    return None if row is None else _channel_of(row)


def _channel_of(row: tuple[Any, ...]) -> Channel:
    channel_id, name, private, created_by, created_at, kind = row
    return Channel(channel_id, name, bool(private), created_by, created_at, kind)


def _membership(connection: sqlite3.Connection, channel_id: str, user_id: str) -> Membership | None:
    query = f"{SELECT} WHERE channel_id = ? AND user_id = ?"
    return next(iter(read(connection, query, channel_id, user_id)), None)


def _change(membership: Membership) -> tuple[str, str, int]:
    """The key and the version, so that a write leaves a newer change alone."""
    return membership.channel_id, membership.user_id, membership.version
