"""Whose file it is: each store beside the membership store carries the deployment's id. Contract section 4."""

import sqlite3
from typing import Final

from fanout.errors import ForeignStore
from services.adapters.sqlite.database import Database

STATEMENT: Final = """CREATE TABLE owner (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        deployment TEXT NOT NULL
    ) STRICT"""
"""The table, as a part of a store's schema."""

_REMEDY: Final = "give each deployment its own FANOUT_DATA_DIR"


async def owner_of(database: Database) -> str | None:
    """The id that a file carries, or None."""
    return await database.read(_owner)


async def claim(database: Database, what: str, deployment: str, *, content: str, adopt: bool = False) -> None:
    """Have a file carry the deployment's id.

    Args:
        database: the file.
        what: it holds, for the error's text.
        deployment: the id.
        content: the table that is empty in a file that nobody used.
        adopt: take a file with content and without an id, too.

    Raises:
        ForeignStore: the file carries another id; or none, and has content.
    """

    def work(connection: sqlite3.Connection) -> None:
        carried = _owner(connection)
        if carried == deployment:
            return
        if carried is not None:
            raise ForeignStore(f"the {what} are of deployment {carried}, and this is {deployment}: {_REMEDY}")
        if not adopt and connection.execute(f"SELECT 1 FROM {content} LIMIT 1").fetchone():  # noqa: S608 - ours
            raise ForeignStore(f"the {what} carry no deployment's id; `fanout migrate --adopt` takes them over")
        connection.execute("INSERT INTO owner (one, deployment) VALUES (1, ?)", (deployment,))

    # Most times there is nothing to write, and a full disk takes no write.
    if await owner_of(database) != deployment:
        await database.write(work)


def _owner(connection: sqlite3.Connection) -> str | None:
    row = connection.execute("SELECT deployment FROM owner").fetchone()
    return None if row is None else str(row[0])
