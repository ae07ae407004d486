"""The tables of the embedded log: how SQLite finds the rows."""

import sqlite3
from pathlib import Path

from services.adapters.embedded.store import _FORGET_IDS, EventStore


async def test_old_ids_are_found_by_their_age(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    store = await EventStore.open(path, 1)
    await store.close()
    connection = sqlite3.connect(path)
    plan = connection.execute(f"EXPLAIN QUERY PLAN {_FORGET_IDS}", ("MESSAGES", 0.0)).fetchall()
    connection.close()
    assert ["INDEX recent_by_age (at<?)" in step for *_, step in plan] == [True], plan
