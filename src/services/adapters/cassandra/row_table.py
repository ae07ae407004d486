"""The requests that write the rows of one table, of channels or of threads."""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from cassandra.query import UNSET_VALUE, BatchStatement, BatchType

from fanout.events import StoredMessage
from fanout.message_rows import RowForm
from services.adapters.cassandra.bridge import Request, Rows
from services.adapters.cassandra.buckets import KnownBuckets, bucket_of
from services.adapters.cassandra.statements import RowStatements

MAX_BATCH_ROWS: Final = 100
MAX_BATCH_CHARACTERS: Final = 64 * 1024
"""The length of the texts in a batch, which holds one message at least. Cassandra refuses a batch of 16 MiB."""

Partition = tuple[str, int]


class Found(NamedTuple):
    """A row that is stored, of some table."""

    form: RowForm
    seq: int
    message_id: str


class RowTable:
    """Makes the requests of a writer for one table. All messages that it is given belong to that table.

    Args:
        form: of the rows.
        statements: of the table.
    """

    def __init__(self, form: RowForm, statements: RowStatements) -> None:
        self.form: Final = form
        self._cql = statements
        self._known = KnownBuckets()

    def unregistered(self, messages: Iterable[StoredMessage]) -> list[Partition]:
        """The partitions of messages that may not be in the table of buckets."""
        return self._known.unknown(map(self._partition, messages))

    def register(self, partitions: Iterable[Partition]) -> list[Request]:
        """Enter partitions in the table of buckets."""
        return [Request(self._cql.register, partition) for partition in partitions]

    def registered(self, partitions: Iterable[Partition]) -> None:
        """Note that partitions are entered."""
        self._known.registered(partitions)

    def look(self, messages: Iterable[StoredMessage]) -> list[Request]:
        """Read which rows are stored at the positions of messages."""
        return [
            Request(self._cql.stored, (*partition, [message.seq for message in group]))
            for partition, group in self._by_partition(messages)
        ]

    def found(self, results: Iterable[Rows]) -> set[Found]:
        """The rows that the requests of `look` found."""
        return {Found(self.form, seq, message_id) for rows in results for seq, message_id in rows}

    def read(self, message: StoredMessage, seq: int) -> Request:
        """Read the row of a message at another position."""
        return Request(self._cql.one, self._key(message, seq))

    def insert(self, messages: Iterable[StoredMessage]) -> list[Request]:
        """Insert rows: a batch for each partition, or several where it would be too long."""
        return [Request(self._batch(batch)) for _, group in self._by_partition(messages) for batch in _batches(group)]

    def remove(self, message: StoredMessage, seq: int) -> Request:
        """Remove the row of a message at a position below its own."""
        return Request(self._cql.remove, (message.seq, *self._key(message, seq)))

    def hint(self, messages: Iterable[StoredMessage]) -> list[Request]:
        """Count new rows, and note how many a partition has where that says more than before."""
        return [
            Request(self._cql.hint, (*partition, hint, hint))
            for partition, group in self._by_partition(messages)
            if (hint := self._known.written(partition, len(group))) is not None
        ]

    def _batch(self, messages: list[StoredMessage]) -> Any:
        rows = [
            self._cql.insert.bind((*self._partition(each), *self._without_nulls(each), each.seq)) for each in messages
        ]
        if len(rows) == 1:
            return rows[0]
        batch = BatchStatement(BatchType.UNLOGGED)
        batch.is_idempotent = True
        for row in rows:
            batch.add(row)
        return batch

    def _without_nulls(self, message: StoredMessage) -> list[Any]:
        """The values of a row. What a message lacks stays unset, because a null would be a tombstone."""
        return [UNSET_VALUE if value is None else value for value in self.form.values_of(message)]

    def _partition(self, message: StoredMessage) -> Partition:
        return self.form.owner_of(message), bucket_of(message.seq)

    def _key(self, message: StoredMessage, seq: int) -> tuple[str, int, int, str]:
        return self.form.owner_of(message), bucket_of(seq), seq, message.message_id

    def _by_partition(self, messages: Iterable[StoredMessage]) -> list[tuple[Partition, list[StoredMessage]]]:
        partitions: dict[Partition, list[StoredMessage]] = {}
        for message in messages:
            partitions.setdefault(self._partition(message), []).append(message)
        return list(partitions.items())


def _batches(messages: list[StoredMessage]) -> Iterator[list[StoredMessage]]:
    batch: list[StoredMessage] = []
    characters = 0
    for message in messages:
        size = len(message.text) + (len(str(message.attachments)) if message.attachments else 0)
        if batch and (len(batch) == MAX_BATCH_ROWS or characters + size > MAX_BATCH_CHARACTERS):
            yield batch
            batch, characters = [], 0
        batch.append(message)
        characters += size
    if batch:
        yield batch
