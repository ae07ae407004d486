"""The owner of a file: each store except the membership store carries the deployment's id. Contract section 4."""

import sqlite3
from typing import Final

from fanout.errors import ForeignStore
from services.adapters.sqlite.database import Database

STATEMENT: Final = """CREATE TABLE owner (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        deployment TEXT NOT NULL
    ) STRICT"""
"""The table, which is part of a store's schema."""

_REMEDY: Final = "give each deployment its own FANOUT_DATA_DIR"


async def owner_of(database: Database) -> str | None:
    """Return the id that a file carries, or None."""
    return await database.read(_owner)


async def claim(database: Database, what: str, deployment: str, *, content: str, adopt: bool = False) -> None:
    """Write the deployment's id to a file that has none, and check it in one that has.

    Args:
        database: the file.
        what: what it holds, for the error's text.
        deployment: the id.
        content: the table that is empty in an unused file.
        adopt: also write the id to a file that has content.

    Raises:
        ForeignStore: the file carries another id; or it carries none and has content.
    """

    def work(connection: sqlite3.Connection) -> None:
        carried = _owner(connection)
        if carried == deployment:
            return
        if carried is not None:
            raise ForeignStore(f"the {what} belong to deployment {carried}, and this is {deployment}: {_REMEDY}")
        if not adopt and connection.execute(f"SELECT 1 FROM {content} LIMIT 1").fetchone():  # noqa: S608 - ours
            raise ForeignStore(f"the {what} carry no deployment's id; `fanout migrate --adopt` takes them over")
        connection.execute("INSERT INTO owner (one, deployment) VALUES (1, ?)", (deployment,))

    # No write where the id is there already: a full disk refuses it.
    if await owner_of(database) != deployment:
        await database.write(work)


def _owner(connection: sqlite3.Connection) -> str | None:
    row = connection.execute("SELECT deployment FROM owner").fetchone()
    return None if row is None else str(row[0])
