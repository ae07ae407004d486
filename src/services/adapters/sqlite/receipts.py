"""Read receipts in SQLite, in the file of the message store."""

import sqlite3
from collections.abc import Sequence
from typing import Final

from fanout.ports.receipts import MessageReceipt, Receipt
from services.adapters.sqlite.store import SqliteStore

STATEMENTS: Final = (
    """CREATE TABLE message_receipts (
        channel_id TEXT NOT NULL,
        message_id TEXT NOT NULL,
        user_id TEXT NOT NULL,
        read_at TEXT NOT NULL,
        PRIMARY KEY (channel_id, message_id, user_id)
    ) STRICT, WITHOUT ROWID""",
)
"""The table, a part of the message store's schema."""

_INSERT: Final = """
    INSERT INTO message_receipts (channel_id, message_id, user_id, read_at) VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET read_at = excluded.read_at WHERE excluded.read_at < read_at"""
_OF_MESSAGE: Final = """
    SELECT user_id, read_at FROM message_receipts WHERE channel_id = ? AND message_id = ? ORDER BY user_id LIMIT ?"""


class SqliteReceipts(SqliteStore):
    """`fanout.ports.receipts.Receipts`, as a part of the message store."""

    async def write_receipts(self, receipts: Sequence[MessageReceipt]) -> None:
        """See the port. One transaction writes all of them."""
        rows = [(each.channel_id, each.message_id, *each.receipt) for each in receipts]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(_INSERT, rows)

        await self._database.write(work)

    async def receipts_of(self, channel_id: str, message_id: str, limit: int) -> list[Receipt]:
        """See the port."""
        values = channel_id, message_id, limit
        return await self._database.read(
            lambda connection: [Receipt(*row) for row in connection.execute(_OF_MESSAGE, values)]
        )
