"""The membership store in SQLite."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from fanout.errors import ChannelExists, ChannelNotFound
from fanout.ids import new_membership_id
from fanout.membership_versions import now_us
from fanout.ports.memberships import ENDED_KEPT_S, Channel, Membership
from services.adapters.sqlite import deployment
from services.adapters.sqlite.database import UNRELEASED, Database, Schema
from services.adapters.sqlite.deployment import SqliteDeployment
from services.adapters.sqlite.store import SqliteStore

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

SCHEMA: Final[Schema] = (UNRELEASED, _TABLES)

_COLUMNS: Final = "channel_id, user_id, membership_id, version, joined_at, left_at, untold"
_SELECT: Final = f"SELECT {_COLUMNS} FROM memberships"  # noqa: S608 - constants

_ADD: Final = """
    INSERT INTO memberships (channel_id, user_id, membership_id, version, joined_at, untold, told_at)
    SELECT :channel, value ->> 0, value ->> 1, :version, :joined_at, :untold, :told_at
    FROM json_each(:members) WHERE true
    ON CONFLICT DO UPDATE SET
        membership_id = excluded.membership_id,
        version = max(excluded.version, version + 1),
        joined_at = excluded.joined_at,
        left_at = NULL,
        untold = excluded.untold,
        told_at = excluded.told_at
    WHERE left_at IS NOT NULL"""

_OF_USERS: Final = f"""
    SELECT {", ".join(f"m.{name}" for name in _COLUMNS.split(", "))} FROM json_each(?) AS asked
    JOIN memberships AS m ON m.channel_id = ? AND m.user_id = asked.value ORDER BY asked.key"""  # noqa: S608 - constants

_PAGE_OF_CHANNELS: Final = """
    SELECT channel_id, name, private, created_by, created_at FROM memberships JOIN channels USING (channel_id)
    WHERE user_id = ? AND left_at IS NULL AND channel_id > ? ORDER BY channel_id LIMIT ?"""

_PRUNED: Final = """
    SELECT channel_id, user_id, version FROM memberships
    WHERE left_at IS NOT NULL AND untold = 0 AND told_at <= ? ORDER BY told_at LIMIT ?"""


class SqliteMemberships(SqliteStore):
    """`fanout.ports.memberships.Memberships` in a file that several processes of one machine may share.

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

    async def create(self, channel: Channel, members: Sequence[str], *, published: bool = False) -> list[Membership]:
        """See the port. One transaction writes everything."""

        def work(connection: sqlite3.Connection) -> list[Membership]:
            _insert_channel(connection, channel, None if published else _json(members))
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
            return None if row is None or row[0] is None else _memberships(connection, _OF_USERS, row[0], channel_id)

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

    async def channels_of(self, user_id: str) -> list[str]:
        """See the port."""
        return await self._strings(
            "SELECT channel_id FROM memberships WHERE user_id = ? AND left_at IS NULL ORDER BY channel_id", user_id
        )

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

    async def unpublished(self, limit: int) -> list[Membership]:
        """See the port."""
        query = f"{_SELECT} WHERE untold = 1 ORDER BY version LIMIT ?"
        return await self._database.read(lambda connection: _memberships(connection, query, limit))

    async def count_unpublished(self) -> int:
        """See the port."""
        query = "SELECT count(*) FROM memberships WHERE untold = 1"
        return await self._database.read(lambda connection: int(connection.execute(query).fetchone()[0]))

    async def renew(self, memberships: Sequence[Membership]) -> list[Membership]:
        """See the port."""

        def work(connection: sqlite3.Connection) -> list[Membership]:
            query = f"""UPDATE memberships SET version = max(?, version + 1)
                        WHERE channel_id = ? AND user_id = ? AND version = ? AND untold = 1 RETURNING {_COLUMNS}"""  # noqa: S608 - constants
            now = self._clock()
            return [found for each in memberships for found in _memberships(connection, query, now, *_change(each))]

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
        query = f"""{_SELECT} WHERE (version, channel_id, user_id) > (?, ?, ?)
                    ORDER BY version, channel_id, user_id LIMIT ?"""
        return await self._database.read(lambda connection: _memberships(connection, query, *start, limit))

    async def prune(self, limit: int) -> int:
        """See the port."""

        def work(connection: sqlite3.Connection) -> int:
            published_before = self._clock() - ENDED_KEPT_S * 1_000_000
            rows = connection.execute(_PRUNED, (published_before, limit)).fetchall()
            if rows:
                highest = max(version for _, _, version in rows)
                connection.execute("UPDATE deleted SET version = max(version, ?)", (highest,))
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
        now = self._clock()
        (deleted,) = connection.execute("SELECT version FROM deleted").fetchone()
        values = {
            "channel": channel_id,
            "members": _json([(user_id, new_membership_id()) for user_id in user_ids]),
            "version": max(now, deleted + 1),
            "joined_at": joined_at,
            "untold": not published,
            "told_at": now if published else None,
        }
        connection.execute(_ADD, values)
        return _memberships(connection, _OF_USERS, _json(user_ids), channel_id)

    async def _strings(self, query: str, *parameters: Any) -> list[str]:
        def work(connection: sqlite3.Connection) -> list[str]:
            return [value for (value,) in connection.execute(query, parameters)]

        return await self._database.read(work)


def _json(values: Sequence[Any]) -> str:
    return orjson.dumps(list(values)).decode()  # one parameter, however many users


def _insert_channel(connection: sqlite3.Connection, channel: Channel, pending: str | None) -> None:
    try:
        connection.execute(
            """INSERT INTO channels (channel_id, name, private, created_by, created_at, pending)
               VALUES (?, ?, ?, ?, ?, ?)""",
            (channel.channel_id, channel.name, channel.private, channel.created_by, channel.created_at, pending),
        )
    except sqlite3.IntegrityError as error:
        raise ChannelExists(f"there is a channel {channel.channel_id} already") from error


def _channel(connection: sqlite3.Connection, channel_id: str) -> Channel | None:
    row = connection.execute(
        "SELECT channel_id, name, private, created_by, created_at FROM channels WHERE channel_id = ?",
        (channel_id,),
    ).fetchone()
    return None if row is None else _channel_of(row)


def _channel_of(row: tuple[Any, ...]) -> Channel:
    channel_id, name, private, created_by, created_at = row
    return Channel(channel_id, name, bool(private), created_by, created_at)


def _membership(connection: sqlite3.Connection, channel_id: str, user_id: str) -> Membership | None:
    query = f"{_SELECT} WHERE channel_id = ? AND user_id = ?"
    return next(iter(_memberships(connection, query, channel_id, user_id)), None)


def _memberships(connection: sqlite3.Connection, query: str, *parameters: Any) -> list[Membership]:
    return [
        Membership(channel_id, user_id, membership_id, version, joined_at, left_at, bool(untold))
        for channel_id, user_id, membership_id, version, joined_at, left_at, untold in connection.execute(
            query, parameters
        )
    ]


def _change(membership: Membership) -> tuple[str, str, int]:
    """The key and the version, so that a write leaves a newer change alone."""
    return membership.channel_id, membership.user_id, membership.version
