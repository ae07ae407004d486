"""The deployment's id and its records of the log, in the file of the membership store."""

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
"""The tables, which are part of the schema of the membership store."""


class SqliteDeployment:
    """`fanout.ports.deployment.Deployment`. The caller that opened the database closes it."""

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
        """Bind the store to one prefix, since its records are of the streams with that prefix.

        Raises:
            ForeignStore: the store is bound to another prefix.
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


def check_prefix(bound: str | None, prefix: str) -> None:
    """Refuse a membership store that is bound to another prefix.

    Args:
        bound: the prefix that the store is bound to; None if there is none yet.
        prefix: the one of the settings.

    Raises:
        ForeignStore: they differ.
    """
    if bound not in {None, prefix}:
        was, now = (f"FANOUT_PREFIX={one}" if one else "no FANOUT_PREFIX" for one in (bound, prefix))
        raise ForeignStore(
            f"the membership store belongs to the deployment with {was}, and this process has {now}: "
            "give each deployment its own FANOUT_DATA_DIR"
        )


def prefix_in(connection: sqlite3.Connection) -> str | None:
    """The prefix that a membership store is bound to, or None."""
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'prefix'").fetchone()
    return _prefix(connection) if known else None


def id_in(connection: sqlite3.Connection) -> str | None:
    """The deployment's id in a membership store; None if none was made, or an older version wrote the file."""
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'deployment'").fetchone()
    return _existing_id(connection) if known else None


def _prefix(connection: sqlite3.Connection) -> str | None:
    row = connection.execute("SELECT prefix FROM prefix").fetchone()
    return None if row is None else str(row[0])


def _existing_id(connection: sqlite3.Connection) -> str | None:
    row = connection.execute("SELECT id FROM deployment").fetchone()
    return None if row is None else str(row[0])
