"""The deployment in SQLite, in the file of the memberships."""

import sqlite3
from typing import Final

from fanout.errors import ForeignStore
from fanout.ids import new_ulid
from fanout.log_record import LogRecord, decode_record, encode_record
from services.adapters.sqlite.database import Database

STATEMENTS: Final = (
    """CREATE TABLE deployment (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        id TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE prefix (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        prefix TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE log_records (
        stream TEXT PRIMARY KEY,
        generation INTEGER NOT NULL,
        record TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
)
"""The tables, as a part of the schema of the membership store."""


class SqliteDeployment:
    """`fanout.ports.deployment.Deployment`. The database stays its opener's to close."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def existing_id(self) -> str | None:
        """See the port."""
        return await self._database.read(_existing_id)

    async def make_id(self, wanted: str | None = None) -> str:
        """See the port."""
        made = wanted or f"dep_{new_ulid()}"

        def work(connection: sqlite3.Connection) -> str:
            connection.execute("INSERT OR IGNORE INTO deployment (one, id) VALUES (1, ?)", (made,))
            return str(_existing_id(connection))

        return await self._database.write(work)

    async def claim_prefix(self, prefix: str) -> None:
        """Have the store belong to the deployment of this prefix alone: what it keeps of streams is of those by it.

        Raises:
            ForeignStore: it belongs to the deployment of another prefix.
        """

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR IGNORE INTO prefix (one, prefix) VALUES (1, ?)", (prefix,))

        if await self._database.read(_prefix) is None:
            await self._database.write(work)
        check_prefix(await self._database.read(_prefix), prefix)

    async def log_record(self, stream: str) -> LogRecord | None:
        """See the port."""

        def work(connection: sqlite3.Connection) -> LogRecord | None:
            row = connection.execute("SELECT record FROM log_records WHERE stream = ?", (stream,)).fetchone()
            return None if row is None else decode_record(row[0])

        return await self._database.read(work)

    async def replace_log_record(self, stream: str, record: LogRecord) -> bool:
        """See the port."""

        def work(connection: sqlite3.Connection) -> bool:
            changed = connection.execute(
                """INSERT INTO log_records (stream, generation, record) VALUES (?1, ?2, ?3)
                   ON CONFLICT DO UPDATE SET generation = excluded.generation, record = excluded.record
                   WHERE log_records.generation = excluded.generation - 1""",
                (stream, record.generation, encode_record(record)),
            )
            return bool(changed.rowcount)

        return await self._database.write(work)


def check_prefix(held: str | None, prefix: str) -> None:
    """Refuse a membership store of another prefix.

    Args:
        held: the prefix that the store carries; None where it carries none yet.
        prefix: that is set.

    Raises:
        ForeignStore: they differ.
    """
    if held not in {None, prefix}:
        was, now = (f"FANOUT_PREFIX={one}" if one else "no FANOUT_PREFIX" for one in (held, prefix))
        raise ForeignStore(
            f"the membership store is of the deployment with {was}, and this is one with {now}: "
            "give each deployment its own FANOUT_DATA_DIR"
        )


def prefix_in(connection: sqlite3.Connection) -> str | None:
    """The prefix that a membership store carries; None where it carries none."""
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'prefix'").fetchone()
    return _prefix(connection) if known else None


def id_in(connection: sqlite3.Connection) -> str | None:
    """The deployment's id in a membership store; None where none was made, or an older version wrote the file."""
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'deployment'").fetchone()
    return _existing_id(connection) if known else None


def _prefix(connection: sqlite3.Connection) -> str | None:
    row = connection.execute("SELECT prefix FROM prefix").fetchone()
    return None if row is None else str(row[0])


def _existing_id(connection: sqlite3.Connection) -> str | None:
    row = connection.execute("SELECT id FROM deployment").fetchone()
    return None if row is None else str(row[0])
