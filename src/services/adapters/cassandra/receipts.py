"""Read receipts in Cassandra, in the keyspace of the message store."""

from collections.abc import Sequence
from typing import Final

from fanout.ports.receipts import Receipt, StoredReceipt
from services.adapters.cassandra.bridge import Request
from services.adapters.cassandra.connection import CassandraConnection
from services.adapters.cassandra.statements import Statements


class CassandraReceipts:
    """`fanout.ports.receipts.Receipts`, as a part of the message store.

    Args:
        connection: to the cluster.
        statements: of the keyspace.
    """

    def __init__(self, connection: CassandraConnection, statements: Statements) -> None:
        self.connection: Final = connection
        self._statements = statements

    async def write_receipts(self, receipts: Sequence[StoredReceipt]) -> None:
        """See the port."""
        requests = [
            Request(self._statements.keep_receipt, (each.channel_id, each.message_id, *each.receipt, -each.seq))
            for each in receipts
        ]
        await self.connection.execute_all("storing receipts", requests)

    async def receipts_of(self, channel_id: str, message_id: str, limit: int) -> list[Receipt]:
        """See the port."""
        values = channel_id, message_id, limit
        rows = await self.connection.execute("reading receipts", self._statements.receipts, *values)
        return [Receipt(*row) for row in rows]
