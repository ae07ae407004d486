"""Unread counts in SQLite."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final

import orjson

from fanout.ports.messages import LogPlace
from fanout.ports.unread import MENTIONS_KEPT, ChannelState, CountedMessage, ReadPosition, Unread
from services.adapters.sqlite import changes, client_state, drafts, ownership
from services.adapters.sqlite.changes import note_change
from services.adapters.sqlite.database import Schema
from services.adapters.sqlite.drafts import delete_draft
from services.adapters.sqlite.store import SqliteStore

SCHEMA: Final[Schema] = (
    (
        """CREATE TABLE place (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            seq INTEGER NOT NULL,
            stored_ns INTEGER NOT NULL
        ) STRICT""",
        """CREATE TABLE latest (
            channel_id TEXT PRIMARY KEY,
            message_id TEXT NOT NULL,
            seq INTEGER NOT NULL,
            count INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE pointers (
            user_id TEXT NOT NULL,
            channel_id TEXT NOT NULL,
            own INTEGER NOT NULL DEFAULT 0,
            seq INTEGER NOT NULL DEFAULT 0,
            count INTEGER NOT NULL DEFAULT 0,
            own_read INTEGER NOT NULL DEFAULT 0,
            last_read_id TEXT NOT NULL DEFAULT '',
            last_read_at TEXT NOT NULL DEFAULT '',
            mentions INTEGER NOT NULL DEFAULT 0,
            version INTEGER NOT NULL DEFAULT 0,
            has_left INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (user_id, channel_id)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE mentions (
            user_id TEXT NOT NULL,
            channel_id TEXT NOT NULL,
            seq INTEGER NOT NULL,
            PRIMARY KEY (user_id, channel_id, seq)
        ) STRICT, WITHOUT ROWID""",
        ownership.STATEMENT,
    ),
    (*drafts.STATEMENTS, *changes.STATEMENTS, *client_state.STATEMENTS),
)
"""The tables of the file. Drafts and the record of changes are in it, since the calls here change them too."""

_PLACE: Final = "SELECT seq, stored_ns FROM place"
_OF_USER: Final = " WHERE user_id = :user AND channel_id = :channel"
_KEEP_PLACE: Final = """
    INSERT INTO place (one, seq, stored_ns) VALUES (1, ?, ?)
    ON CONFLICT DO UPDATE SET seq = excluded.seq, stored_ns = excluded.stored_ns"""
_COUNT: Final = """
    INSERT INTO latest (channel_id, message_id, seq, count) VALUES (?, ?, ?, 1)
    ON CONFLICT DO UPDATE SET message_id = excluded.message_id, seq = excluded.seq, count = count + 1"""
_COUNT_OWN: Final = """
    INSERT INTO pointers (user_id, channel_id, own) VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET own = own + 1"""
_COUNT_MENTION: Final = """
    INSERT INTO pointers (user_id, channel_id, mentions) VALUES (:user, :channel, :found)
    ON CONFLICT DO UPDATE SET mentions = mentions + excluded.mentions"""
_FORGET_OLD_MENTIONS: Final = f"""
    DELETE FROM mentions {_OF_USER} AND seq <= (
        SELECT seq FROM mentions {_OF_USER} ORDER BY seq DESC LIMIT 1 OFFSET {MENTIONS_KEPT})"""  # noqa: S608 - constants
_KNOWN_MENTIONS: Final = f"SELECT count(*), coalesce(min(seq), 0) FROM mentions{_OF_USER}"  # noqa: S608 - constants
_POINTER: Final = f"""
    SELECT own, seq, count, own_read, last_read_id, last_read_at, mentions, version, has_left
    FROM pointers{_OF_USER}"""  # noqa: S608 - constants
_UNREAD: Final = """
    SELECT asked.value, max(0, coalesce(l.count, 0) - coalesce(p.own, 0) - coalesce(p.count - p.own_read, 0)) AS unread,
        coalesce(p.mentions, 0) AS mentioned
    FROM json_each(?) AS asked
    LEFT JOIN latest AS l ON l.channel_id = asked.value
    LEFT JOIN pointers AS p ON p.user_id = ? AND p.channel_id = asked.value
    WHERE unread > 0 OR mentioned > 0"""
_KEEP_MEMBERSHIP: Final = """
    INSERT INTO pointers (user_id, channel_id, version) VALUES (:user, :channel, :version)
    ON CONFLICT DO UPDATE SET version = excluded.version, has_left = 0"""
_LEAVE: Final = """
    INSERT INTO pointers (user_id, channel_id, version, has_left) VALUES (:user, :channel, :version, 1)
    ON CONFLICT DO UPDATE SET version = excluded.version, has_left = 1, seq = 0, count = 0, own_read = 0,
        last_read_id = '', last_read_at = '', mentions = 0"""
_MOVE: Final = """
    INSERT INTO pointers (user_id, channel_id, seq, count, own_read, last_read_id, last_read_at)
    VALUES (:user, :channel, :seq, :count, :own, :message_id, :read_at)
    ON CONFLICT DO UPDATE SET seq = excluded.seq, count = excluded.count, own_read = excluded.own_read,
        last_read_id = excluded.last_read_id, last_read_at = excluded.last_read_at"""
_CORRECT: Final = """
    INSERT INTO pointers (user_id, channel_id, count, own_read) VALUES (:user, :channel, :count, :own)
    ON CONFLICT DO UPDATE SET count = excluded.count, own_read = excluded.own_read"""
_SET_MENTIONS: Final = f"""
    UPDATE pointers SET mentions = :older + (SELECT count(*) FROM mentions{_OF_USER}){_OF_USER}"""  # noqa: S608 - constants

_NOTHING: Final = (0, 0, 0, 0, "", "", 0, 0, 0)


class SqliteUnread(SqliteStore):
    """`fanout.ports.unread.UnreadCounts` in a file that several processes of one machine may share."""

    schema = SCHEMA

    async def claim_for(self, deployment: str, *, adopt: bool = False) -> None:
        """Write the deployment's id to the file, or check the one that it carries.

        Args:
            deployment: the id.
            adopt: also write it to a file that holds counts.

        Raises:
            ForeignStore: the file carries another id; or it carries none, holds counts, and `adopt` is false.
        """
        await ownership.claim(self._database, "unread counts", deployment, content="place", adopt=adopt)

    async def place(self) -> LogPlace | None:
        """See the port."""
        return await self._database.read(_place)

    async def count(self, messages: Sequence[CountedMessage], *, after: int) -> int:
        """See the port."""

        def work(connection: sqlite3.Connection) -> int:
            place = _place(connection)
            at = after if place is None else place.seq
            fresh = [message for message in messages if message.seq > at]
            if at < after or not fresh:
                return at
            for message in fresh:
                _count(connection, message)
            connection.execute(_KEEP_PLACE, (fresh[-1].seq, fresh[-1].stored_ns))
            return fresh[-1].seq

        return await self._database.write(work)

    async def states(self, user_id: str, channel_ids: Sequence[str]) -> list[ChannelState]:
        """See the port."""

        def work(connection: sqlite3.Connection) -> list[ChannelState]:
            # One transaction: each statement alone may see another state.
            connection.execute("SAVEPOINT states")
            try:
                return [_state(connection, user_id, channel_id) for channel_id in channel_ids]
            finally:
                connection.execute("RELEASE states")

        return await self._database.read(work)

    async def unread(self, user_id: str, channel_ids: Sequence[str]) -> Mapping[str, Unread]:
        """See the port."""
        asked = orjson.dumps(list(channel_ids)).decode()  # one parameter, however many channels

        def work(connection: sqlite3.Connection) -> Mapping[str, Unread]:
            rows = connection.execute(_UNREAD, (asked, user_id))
            return {channel_id: Unread(messages, mentions) for channel_id, messages, mentions in rows}

        return await self._database.read(work)

    async def mark_read(
        self, user_id: str, channel_id: str, position: ReadPosition, *, older_mentions: int = 0
    ) -> bool:
        """See the port."""
        key = {"user": user_id, "channel": channel_id}

        def work(connection: sqlite3.Connection) -> bool:
            *_, has_left = _pointer(connection, key)
            if has_left or not _move(connection, key, position, older_mentions):
                return False
            note_change(connection, user_id, channel_id)
            return True

        return await self._database.write(work)

    async def joined(self, user_id: str, channel_id: str, version: int, position: ReadPosition) -> bool:
        """See the port."""
        key = {"user": user_id, "channel": channel_id}

        def work(connection: sqlite3.Connection) -> bool:
            *_, known, _ = _pointer(connection, key)
            if version <= known:
                return False
            connection.execute(_KEEP_MEMBERSHIP, {**key, "version": version})
            _move(connection, key, position, 0)
            note_change(connection, user_id, channel_id)
            return True

        return await self._database.write(work)

    async def left(self, user_id: str, channel_id: str, version: int) -> bool:
        """See the port. It is remembered as long as the file."""
        key = {"user": user_id, "channel": channel_id}

        def work(connection: sqlite3.Connection) -> bool:
            *_, known, _ = _pointer(connection, key)
            if version <= known:
                return False
            connection.execute(_LEAVE, {**key, "version": version})
            connection.execute(f"DELETE FROM mentions{_OF_USER}", key)  # noqa: S608 - constants
            delete_draft(connection, user_id, channel_id)
            note_change(connection, user_id, channel_id)
            return True

        return await self._database.write(work)

    async def correct(self, user_id: str, channel_id: str, pointer: ReadPosition, mentions: Sequence[int]) -> bool:
        """See the port."""
        key = {"user": user_id, "channel": channel_id}

        def work(connection: sqlite3.Connection) -> bool:
            _, seq, *_, has_left = _pointer(connection, key)
            if has_left or seq != pointer.seq:
                return False
            connection.execute(_CORRECT, {**key, "count": pointer.count, "own": pointer.own})
            rows = [(user_id, channel_id, each) for each in mentions]
            connection.executemany("INSERT OR IGNORE INTO mentions VALUES (?, ?, ?)", rows)
            connection.execute(_SET_MENTIONS, {**key, "older": 0})
            connection.execute(_FORGET_OLD_MENTIONS, key)
            return True

        return await self._database.write(work)


def _place(connection: sqlite3.Connection) -> LogPlace | None:
    row = connection.execute(_PLACE).fetchone()
    return None if row is None else LogPlace(*row)


def _count(connection: sqlite3.Connection, message: CountedMessage) -> None:
    if message.in_channel:
        connection.execute(_COUNT, (message.channel_id, message.message_id, message.seq))
        connection.execute(_COUNT_OWN, (message.sender_id, message.channel_id))
    for user_id in message.mentions:
        key = {"user": user_id, "channel": message.channel_id}
        _, seq, *_, has_left = _pointer(connection, key)
        if has_left or message.seq <= seq:
            continue
        row = (user_id, message.channel_id, message.seq)
        found = connection.execute("INSERT OR IGNORE INTO mentions VALUES (?, ?, ?)", row).rowcount
        connection.execute(_COUNT_MENTION, {**key, "found": found})
        connection.execute(_FORGET_OLD_MENTIONS, key)


def _state(connection: sqlite3.Connection, user_id: str, channel_id: str) -> ChannelState:
    key = {"user": user_id, "channel": channel_id}
    place = _place(connection)
    latest = connection.execute("SELECT message_id, seq, count FROM latest WHERE channel_id = :channel", key).fetchone()
    latest_id, latest_seq, count = latest or ("", 0, 0)
    own, seq, read, own_read, message_id, read_at, mentions, _, _ = _pointer(connection, key)
    known, lowest = connection.execute(_KNOWN_MENTIONS, key).fetchone()
    return ChannelState(
        place=0 if place is None else place.seq,
        latest_id=latest_id,
        latest_seq=latest_seq,
        count=count,
        own=own,
        pointer=ReadPosition(seq, read, own_read, message_id, read_at),
        mentions=mentions,
        mentions_from=lowest if known < mentions else 0,
    )


def _pointer(
    connection: sqlite3.Connection, key: Mapping[str, str]
) -> tuple[int, int, int, int, str, str, int, int, int]:
    row: tuple[int, int, int, int, str, str, int, int, int] | None = connection.execute(_POINTER, key).fetchone()
    return row or _NOTHING


def _move(connection: sqlite3.Connection, key: Mapping[str, str], to: ReadPosition, older_mentions: int) -> bool:
    if to.seq <= _pointer(connection, key)[1]:
        return False
    connection.execute(_MOVE, {**key, **asdict(to)})
    connection.execute(f"DELETE FROM mentions{_OF_USER} AND seq <= :seq", {**key, "seq": to.seq})  # noqa: S608 - constants
    connection.execute(_SET_MENTIONS, {**key, "older": older_mentions})
    return True
