"""The tables of the embedded log: events, recent message ids, and the position of each reader."""

import sqlite3
from asyncio import Future
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from fanout.errors import ForeignStore
from fanout.ids import new_ulid
from fanout.ports.deployment import Deployment
from fanout.ports.log import Appended, StoredEvent
from fanout.streams import KEEP_S, STREAMS
from services.adapters.sqlite import ownership
from services.adapters.sqlite.database import UNRELEASED, Database, Schema

_PRUNE_SLICE: Final = 1_000

SCHEMA: Final[Schema] = (
    UNRELEASED,
    (
        """CREATE TABLE streams (
            name TEXT PRIMARY KEY,
            last_seq INTEGER NOT NULL,
            partitions INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE events (
            stream TEXT NOT NULL,
            seq INTEGER NOT NULL,
            part INTEGER NOT NULL,
            at REAL NOT NULL,
            subject TEXT NOT NULL,
            payload BLOB NOT NULL,
            reason TEXT,
            PRIMARY KEY (stream, seq)
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX events_by_part ON events (stream, part, seq)",
        """CREATE TABLE recent (
            stream TEXT NOT NULL,
            msg_id TEXT NOT NULL,
            seq INTEGER NOT NULL,
            at REAL NOT NULL,
            PRIMARY KEY (stream, msg_id)
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX recent_by_age ON recent (at)",
        "CREATE TABLE identity (created TEXT NOT NULL) STRICT",
        ownership.STATEMENT,
        """CREATE TABLE floors (
            stream TEXT NOT NULL,
            durable TEXT NOT NULL,
            floor INTEGER NOT NULL,
            PRIMARY KEY (stream, durable)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE claims (
            part INTEGER PRIMARY KEY,
            epoch INTEGER NOT NULL,
            position INTEGER NOT NULL,
            owner TEXT NOT NULL
        ) STRICT""",
    ),
    (
        "ALTER TABLE claims RENAME TO claims_of_messages",
        """CREATE TABLE claims (
            stream TEXT NOT NULL,
            part INTEGER NOT NULL,
            epoch INTEGER NOT NULL,
            position INTEGER NOT NULL,
            owner TEXT NOT NULL,
            PRIMARY KEY (stream, part)
        ) STRICT, WITHOUT ROWID""",
        "INSERT INTO claims SELECT 'MESSAGES', part, epoch, position, owner FROM claims_of_messages",
        "DROP TABLE claims_of_messages",
    ),
)


_PAGE: Final = """
    SELECT seq, subject, payload, at FROM events
    WHERE stream = :stream AND seq > :after AND seq <= :upto ORDER BY seq LIMIT :limit"""
_PAGE_OF_PART: Final = """
    SELECT seq, subject, payload, at FROM events
    WHERE stream = :stream AND part = :part AND seq > :after AND seq <= :upto ORDER BY seq LIMIT :limit"""

_FORGET_IDS: Final = "DELETE FROM recent WHERE +stream = ? AND at <= ?"
"""The `+` keeps SQLite from the primary key, by which it would scan every id of the stream: few are old."""


class NewEvent(NamedTuple):
    """An event to be stored."""

    stream: str
    subject: str
    part: int
    payload: bytes
    msg_id: str
    at: float
    """Seconds since the epoch."""
    reason: str | None = None
    """Why it was dead-lettered."""


class Floor(NamedTuple):
    """A durable consumer acknowledged everything up to `floor`."""

    stream: str
    durable: str
    floor: int


class Claim(NamedTuple):
    """The position of a partition's reader, and the number of claims."""

    stream: str
    part: int
    epoch: int
    position: int


class EventStore:
    """The database of one embedded log.

    Attributes:
        created: identifies the file.
        partitions: of each partitioned stream, fixed when the file was created.
        last_seqs: the newest sequence of each stream when the file was opened.
        floors: by stream and durable consumer, when the file was opened.
        claims: by stream and partition, when the file was opened.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.created = ""
        self.partitions = 1
        self.last_seqs: dict[str, int] = {}
        self.floors: dict[tuple[str, str], int] = {}
        self.claims: dict[tuple[str, int], Claim] = {}

    @classmethod
    async def open(cls, path: Path | None, partitions: int) -> "EventStore":
        """Open or create the file. An existing file keeps its number of partitions, whatever the argument says.

        Raises:
            Unavailable: the file cannot be opened.
        """
        store = cls(await Database.open(path, SCHEMA))
        try:
            await store._database.write(lambda connection: _create_streams(connection, partitions))
            await store._database.read(store._load)
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        """Finish the work in hand, and close the file."""
        await self._database.close()

    async def ping(self) -> None:
        """Return when the database answers."""
        await self._database.ping()

    def append(self, event: NewEvent) -> "Future[Appended]":
        """Store an event in the next transaction, unless one with its id was stored within the dedup window."""
        return self._database.submit(lambda connection: _append(connection, event))

    async def page(
        self, stream: str, *, after: int, upto: int, limit: int, part: int | None = None
    ) -> list[StoredEvent]:
        """Up to `limit` events after `after`, up to and with `upto`, of one partition or all, in order."""
        query = _PAGE if part is None else _PAGE_OF_PART
        values = {"stream": stream, "after": after, "upto": upto, "limit": limit, "part": part}

        def work(connection: sqlite3.Connection) -> list[StoredEvent]:
            rows = connection.execute(query, values)
            return [
                StoredEvent(seq, subject, payload, stored_ns=_nanoseconds(at)) for seq, subject, payload, at in rows
            ]

        return await self._database.read(work)

    async def claim_for(self, deployment: Deployment, *, adopt: bool) -> None:
        """Have the file carry the deployment's id.

        Raises:
            ForeignStore: the file carries another id; or it carries none, holds events, and `adopt` is not set.
        """
        carried = await ownership.owner_of(self._database)
        known = await deployment.existing_id()
        if carried and known is None and not adopt:
            raise ForeignStore(
                f"the log is of deployment {carried}, and the membership store is of none yet: use the membership "
                "store of that deployment, or another FANOUT_DATA_DIR"
            )
        own = known or await deployment.make_id(carried)
        await ownership.claim(self._database, "events of the log", own, content="events", adopt=adopt)

    async def first_seq(self, stream: str) -> int:
        """The sequence of the oldest event; if there is none, that of the next event."""
        return await self._database.read(lambda connection: _first_seq(connection, stream))

    async def seq_at(self, stream: str, at: float) -> int:
        """The sequence of the newest event stored at or before a time in seconds since the epoch.

        If there is none, it is that before the first event; or the last one that was given, if there is no event.
        """

        def work(connection: sqlite3.Connection) -> int:
            query = "SELECT seq FROM events WHERE stream = ? AND at <= ? ORDER BY seq DESC LIMIT 1"
            row = connection.execute(query, (stream, at)).fetchone()
            return _first_seq(connection, stream) - 1 if row is None else int(row[0])

        return await self._database.read(work)

    async def last_stored_ns(self, stream: str) -> int:
        """When the newest event was stored, in nanoseconds since 1970; 0 if there is none."""

        def work(connection: sqlite3.Connection) -> int:
            query = "SELECT at FROM events WHERE stream = ? ORDER BY seq DESC LIMIT 1"
            row = connection.execute(query, (stream,)).fetchone()
            return 0 if row is None else _nanoseconds(row[0])

        return await self._database.read(work)

    async def skip_to(self, stream: str, seq: int) -> None:
        """Give the next event a sequence above this one."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE streams SET last_seq = max(last_seq, ?) WHERE name = ?", (seq, stream))

        await self._database.write(work)

    async def claim(self, stream: str, part: int, owner: str, position: int) -> int:
        """Count a claim of a partition durably, and return the new epoch."""

        def work(connection: sqlite3.Connection) -> int:
            rows = connection.execute(
                """INSERT INTO claims (stream, part, epoch, position, owner) VALUES (?, ?, 1, ?, ?)
                   ON CONFLICT DO UPDATE SET
                       epoch = epoch + 1, position = excluded.position, owner = excluded.owner
                   RETURNING epoch""",
                (stream, part, position, owner),
            ).fetchall()
            return int(rows[0][0])

        return await self._database.write(work)

    async def save(self, floors: Sequence[Floor], positions: Sequence[tuple[str, int, int]]) -> None:
        """Save the floors of durable consumers, and the positions of partitions (stream, number, position)."""

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany("INSERT OR REPLACE INTO floors VALUES (?, ?, ?)", floors)
            connection.executemany(
                "UPDATE claims SET position = ? WHERE stream = ? AND part = ?",
                [(seq, stream, part) for stream, part, seq in positions],
            )

        await self._database.write(work)

    async def prune(self, now: float) -> None:
        """Delete ids older than the dedup window and events past their age, a slice per transaction."""
        for stream, spec in STREAMS.items():
            forgotten = (stream, now - spec.dedup_s)
            await self._database.write(partial(_forget_ids, forgotten))
            oldest = now - (KEEP_S if spec.keep_s is None else spec.keep_s)
            while await self._prune_slice(stream, oldest) == _PRUNE_SLICE:
                pass

    async def _prune_slice(self, stream: str, oldest: float) -> int:
        def work(connection: sqlite3.Connection) -> int:
            return connection.execute(
                """DELETE FROM events WHERE stream = ?1 AND at < ?2 AND seq IN
                   (SELECT seq FROM events WHERE stream = ?1 ORDER BY seq LIMIT ?3)""",
                (stream, oldest, _PRUNE_SLICE),
            ).rowcount

        return await self._database.write(work)

    def _load(self, connection: sqlite3.Connection) -> None:
        (self.created,) = connection.execute("SELECT created FROM identity").fetchone()
        for name, last_seq, partitions in connection.execute("SELECT name, last_seq, partitions FROM streams"):
            self.last_seqs[name] = last_seq
            self.partitions = partitions
        for floor in map(Floor._make, connection.execute("SELECT stream, durable, floor FROM floors")):
            self.floors[floor.stream, floor.durable] = floor.floor
        for claim in map(Claim._make, connection.execute("SELECT stream, part, epoch, position FROM claims")):
            self.claims[claim.stream, claim.part] = claim


def _first_seq(connection: sqlite3.Connection, stream: str) -> int:
    query = "SELECT min(seq), (SELECT last_seq + 1 FROM streams WHERE name = ?1) FROM events WHERE stream = ?1"
    first, following = connection.execute(query, (stream,)).fetchone()
    return int(following if first is None else first)


def _nanoseconds(at: float) -> int:
    return round(at * 1_000_000_000)


def _create_streams(connection: sqlite3.Connection, partitions: int) -> None:
    """Create the missing streams. A new stream gets as many partitions as the others have."""
    if connection.execute("SELECT 1 FROM identity").fetchone() is None:
        connection.execute("INSERT INTO identity (created) VALUES (?)", (new_ulid(),))
    row = connection.execute("SELECT partitions FROM streams").fetchone()
    stored = partitions if row is None else row[0]
    connection.executemany(
        "INSERT OR IGNORE INTO streams (name, last_seq, partitions) VALUES (?, 0, ?)",
        [(name, stored) for name in STREAMS],
    )


def _forget_ids(values: tuple[str, float], connection: sqlite3.Connection) -> None:
    connection.execute(_FORGET_IDS, values)


def _append(connection: sqlite3.Connection, event: NewEvent) -> Appended:
    twin = connection.execute(
        "SELECT seq FROM recent WHERE stream = ? AND msg_id = ? AND at > ?",
        (event.stream, event.msg_id, event.at - STREAMS[event.stream].dedup_s),
    ).fetchone()
    if twin is not None:
        return Appended(twin[0], duplicate=True)
    [(seq,)] = connection.execute(
        "UPDATE streams SET last_seq = last_seq + 1 WHERE name = ? RETURNING last_seq", (event.stream,)
    ).fetchall()
    connection.execute(
        "INSERT INTO events (stream, seq, part, at, subject, payload, reason) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (event.stream, seq, event.part, event.at, event.subject, event.payload, event.reason),
    )
    connection.execute(
        "INSERT OR REPLACE INTO recent (stream, msg_id, seq, at) VALUES (?, ?, ?, ?)",
        (event.stream, event.msg_id, seq, event.at),
    )
    return Appended(seq, duplicate=False)
