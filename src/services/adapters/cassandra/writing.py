"""Writing messages: idempotent, and one row for each message whatever comes again, dies in between or runs beside.

1. Each message's position is *announced* in the index, and its bucket in the table of buckets.
2. The index is read. Of two writers that write a message under two positions at once, at least one sees both.
3. Rows are written where the highest announced position has none, a batch for each partition.
4. Rows of lower positions are removed. The removal carries the higher `seq` as its timestamp, so that a row that a
   slower writer adds to a lower position later stays removed.

A writer that dies anywhere in between leaves a message that is not acknowledged: it comes again, and what is announced
shows what is left to do.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec
from cassandra.query import UNSET_VALUE, BatchStatement, BatchType

from fanout.events import StoredMessage
from fanout.message_rows import message_of, values_of
from services.adapters.cassandra.bridge import Request
from services.adapters.cassandra.buckets import KnownBuckets, bucket_of
from services.adapters.cassandra.connection import CassandraConnection
from services.adapters.cassandra.statements import Statements

MAX_BATCH_ROWS: Final = 100
MAX_BATCH_CHARACTERS: Final = 64 * 1024
"""The length of the texts in a batch, which holds one message at least. Cassandra refuses a batch of 16 MiB."""

_Key = tuple[str, str]
_Partition = tuple[str, int]


class MessageWriting:
    """Writes messages for one process.

    Args:
        connection: to the cluster.
        statements: of the keyspace.
    """

    def __init__(self, connection: CassandraConnection, statements: Statements) -> None:
        self._connection = connection
        self._cql = statements
        self._known = KnownBuckets()

    async def write(self, messages: Sequence[StoredMessage]) -> None:
        """Write messages; see `fanout.ports.messages.Messages.write`."""
        written = _highest(messages)
        await self._announce(written)
        positions, stored = await self._look(written)
        behind = [message for message in written if message.seq < max(positions[_key(message)])]
        if behind:
            # The writer that announced the higher position may have died before it wrote the row.
            await self.write([_moved(message, max(positions[_key(message)])) for message in behind])
        ahead = [message for message in written if message.seq == max(positions[_key(message)])]
        new = [message for message in ahead if (message.seq, message.message_id) not in stored]
        lower = [(message, seq) for message in ahead for seq in sorted(set(positions[_key(message)]) - {message.seq})]
        await self._insert(await self._with_first_content(new, lower))
        await self._remove(lower)
        await self._hint(new)

    async def _announce(self, messages: list[StoredMessage]) -> None:
        buckets = self._known.unknown(map(_partition, messages))
        requests = [Request(self._cql.register, bucket) for bucket in buckets]
        requests += [
            Request(self._cql.index, (each.message_id, each.channel_id, each.seq, each.seq)) for each in messages
        ]
        await self._connection.execute_all("announcing messages", requests)
        self._known.registered(buckets)

    async def _look(self, messages: list[StoredMessage]) -> tuple[dict[_Key, list[int]], set[tuple[int, str]]]:
        """The announced positions of each message, and the rows that are there at those of `messages`."""
        indexed = [Request(self._cql.positions, _key(message)) for message in messages]
        rows = [
            Request(self._cql.stored, (*partition, [message.seq for message in group]))
            for partition, group in _by_partition(messages)
        ]
        found = await self._connection.execute_all("reading what is stored", indexed + rows)
        positions = {
            _key(message): [message.seq, *(seq for (seq,) in announced)]
            for message, announced in zip(messages, found[: len(messages)], strict=True)
        }
        return positions, {(seq, message_id) for there in found[len(messages) :] for seq, message_id in there}

    async def _with_first_content(
        self, messages: list[StoredMessage], lower: list[tuple[StoredMessage, int]]
    ) -> list[StoredMessage]:
        """The messages, with what is stored of them at lower positions."""
        if not lower:
            return messages
        requests = [Request(self._cql.one, _row_key(message, seq)) for message, seq in lower]
        found = await self._connection.execute_all("reading what moves", requests)
        first = {
            _key(message): _moved(message_of(message.channel_id, rows[0]), message.seq)
            for (message, _), rows in zip(lower, found, strict=True)
            if rows
        }
        return [first.get(_key(message), message) for message in messages]

    async def _insert(self, messages: list[StoredMessage]) -> None:
        batches = [self._batch(batch) for _, group in _by_partition(messages) for batch in _batches(group)]
        await self._connection.execute_all("storing messages", [Request(batch) for batch in batches])

    def _batch(self, messages: list[StoredMessage]) -> Any:
        rows = [self._cql.message.bind((*_partition(each), *_without_nulls(each), each.seq)) for each in messages]
        if len(rows) == 1:
            return rows[0]
        batch = BatchStatement(BatchType.UNLOGGED)
        batch.is_idempotent = True
        for row in rows:
            batch.add(row)
        return batch

    async def _remove(self, lower: list[tuple[StoredMessage, int]]) -> None:
        """Remove rows at lower positions, and then what announced them: a repetition finds the rows by it."""
        rows = [Request(self._cql.remove, (message.seq, *_row_key(message, seq))) for message, seq in lower]
        await self._connection.execute_all("removing messages that moved", rows)
        announced = [Request(self._cql.unindex, (message.seq, *_key(message), seq)) for message, seq in lower]
        await self._connection.execute_all("removing positions of messages that moved", announced)

    async def _hint(self, messages: list[StoredMessage]) -> None:
        hints = [
            Request(self._cql.hint, (*partition, hint, hint))
            for partition, group in _by_partition(messages)
            if (hint := self._known.written(partition, len(group))) is not None
        ]
        await self._connection.execute_all("counting messages", hints)


def _key(message: StoredMessage) -> _Key:
    return message.message_id, message.channel_id


def _partition(message: StoredMessage) -> _Partition:
    return message.channel_id, bucket_of(message.seq)


def _row_key(message: StoredMessage, seq: int) -> tuple[str, int, int, str]:
    return message.channel_id, bucket_of(seq), seq, message.message_id


def _without_nulls(message: StoredMessage) -> list[Any]:
    """The values of a row. What a message lacks stays unset, because a null would be a tombstone."""
    return [UNSET_VALUE if value is None else value for value in values_of(message)]


def _moved(message: StoredMessage, seq: int) -> StoredMessage:
    return msgspec.structs.replace(message, seq=seq)


def _highest(messages: Sequence[StoredMessage]) -> list[StoredMessage]:
    """Each message once: as it came first, at the highest position that it came with."""
    highest: dict[_Key, StoredMessage] = {}
    for message in messages:
        first = highest.setdefault(_key(message), message)
        if message.seq > first.seq:
            highest[_key(message)] = _moved(first, message.seq)
    return list(highest.values())


def _by_partition(messages: Iterable[StoredMessage]) -> list[tuple[_Partition, list[StoredMessage]]]:
    partitions: dict[_Partition, list[StoredMessage]] = {}
    for message in messages:
        partitions.setdefault(_partition(message), []).append(message)
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
