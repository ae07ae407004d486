"""Read receipts in Cassandra, in the keyspace of the message store."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from fanout.ports.receipts import MessageReceipt, Receipt
from services.adapters.cassandra.bridge import Request
from services.adapters.cassandra.connection import CassandraConnection
from services.adapters.cassandra.statements import Statements

_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class CassandraReceipts:
    """`fanout.ports.receipts.Receipts`, as a part of the message store.

    Args:
        connection: to the cluster.
        statements: of the keyspace.
    """

    def __init__(self, connection: CassandraConnection, statements: Statements) -> None:
        self.connection: Final = connection
        self._statements = statements

    async def write_receipts(self, receipts: Sequence[MessageReceipt]) -> None:
        """See the port."""
        keep = self._statements.keep_receipt
        requests = [Request(keep, (*each[:2], *each.receipt, _priority(each.receipt))) for each in receipts]
        await self.connection.execute_all("storing receipts", requests)

    async def receipts_of(self, channel_id: str, message_id: str, limit: int) -> list[Receipt]:
        """See the port."""
        values = channel_id, message_id, limit
        rows = await self.connection.execute("reading receipts", self._statements.receipts, *values)
        return [Receipt(*row) for row in rows]


def _priority(receipt: Receipt) -> int:
    """The write timestamp of a row. Of two rows, Cassandra keeps the one with the higher timestamp."""
    return -((datetime.fromisoformat(receipt.read_at) - _EPOCH) // _MICROSECOND)
