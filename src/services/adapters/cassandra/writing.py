"""Writing messages: idempotent, and one row for each message whatever comes again, dies in between or runs beside.

1. Each message's position is *announced* in the index, and its bucket in the table of buckets.
2. The index is read. Of two writers that write a message under two positions at once, at least one sees both.
3. Rows are written where the highest announced position has none, a batch for each partition.
4. Rows of lower positions are removed. The removal carries the higher `seq` as its timestamp, so that a row that a
   slower writer adds to a lower position later stays removed.

A message has a row in the table of channels, in that of threads, or in both. A writer that dies anywhere in between
leaves a message that is not acknowledged: it comes again, and what is announced shows what is left to do.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec
from cassandra.query import UNSET_VALUE

from fanout.events import StoredMessage
from fanout.message_rows import FORMS, RowForm, forms_of
from services.adapters.cassandra.bridge import Request
from services.adapters.cassandra.connection import CassandraConnection
from services.adapters.cassandra.row_table import Found, RowTable
from services.adapters.cassandra.statements import Statements

_Key = tuple[str, str]
_Lower = list[tuple[StoredMessage, int]]
"""Messages, each with a position below its own at which it was announced."""


class MessageWriting:
    """Writes messages for one process.

    Args:
        connection: to the cluster.
        statements: of the keyspace.
    """

    def __init__(self, connection: CassandraConnection, statements: Statements) -> None:
        self._connection = connection
        self._cql = statements
        self._tables: Final = {form: RowTable(form, statements.rows[form]) for form in FORMS}

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
        lower = [(message, seq) for message in ahead for seq in sorted(set(positions[_key(message)]) - {message.seq})]
        first = await self._first_content(lower)
        new = {
            form: [
                first.get(_key(each), each) for each in group if Found(form, each.seq, each.message_id) not in stored
            ]
            for form, group in _by_form(ahead)
        }
        await self._insert(new)
        await self._remove(lower)
        await self._hint(new)

    async def _announce(self, messages: list[StoredMessage]) -> None:
        partitions = {form: self._tables[form].unregistered(group) for form, group in _by_form(messages)}
        requests = [request for form, some in partitions.items() for request in self._tables[form].register(some)]
        requests += map(self._entry, messages)
        await self._connection.execute_all("announcing messages", requests)
        for form, some in partitions.items():
            self._tables[form].registered(some)

    def _entry(self, message: StoredMessage) -> Request:
        thread = UNSET_VALUE if message.thread_id is None else message.thread_id
        values = (message.message_id, message.channel_id, message.seq, thread, message.sender_id, message.seq)
        return Request(self._cql.index, values)

    async def _look(self, messages: list[StoredMessage]) -> tuple[dict[_Key, list[int]], set[Found]]:
        """The announced positions of each message, and the rows that are there at those of `messages`."""
        requests = [Request(self._cql.positions, _key(message)) for message in messages]
        parts: list[tuple[RowTable, slice]] = []
        for form, group in _by_form(messages):
            table = self._tables[form]
            looks = table.look(group)
            parts.append((table, slice(len(requests), len(requests) + len(looks))))
            requests += looks
        found = await self._connection.execute_all("reading what is stored", requests)
        positions = {
            _key(message): [message.seq, *(seq for (seq,) in announced)]
            for message, announced in zip(messages, found[: len(messages)], strict=True)
        }
        return positions, {row for table, part in parts for row in table.found(found[part])}

    async def _first_content(self, lower: _Lower) -> dict[_Key, StoredMessage]:
        """The stored content of messages at lower positions, moved to their new ones."""
        if not lower:
            return {}
        asked = [(message, seq, form) for message, seq in lower for form in forms_of(message)]
        requests = [self._tables[form].read(message, seq) for message, seq, form in asked]
        found = await self._connection.execute_all("reading what moves", requests)
        return {
            _key(message): _moved(form.message_of(form.owner_of(message), rows[0]), message.seq)
            for (message, _, form), rows in zip(asked, found, strict=True)
            if rows
        }

    async def _insert(self, rows: dict[RowForm, list[StoredMessage]]) -> None:
        batches = [batch for form, messages in rows.items() for batch in self._tables[form].insert(messages)]
        await self._connection.execute_all("storing messages", batches)

    async def _remove(self, lower: _Lower) -> None:
        """Remove rows at lower positions, and then what announced them: a repetition finds the rows by it."""
        rows = [self._tables[form].remove(message, seq) for message, seq in lower for form in forms_of(message)]
        await self._connection.execute_all("removing messages that moved", rows)
        announced = [Request(self._cql.unindex, (message.seq, *_key(message), seq)) for message, seq in lower]
        await self._connection.execute_all("removing positions of messages that moved", announced)

    async def _hint(self, rows: dict[RowForm, list[StoredMessage]]) -> None:
        hints = [hint for form, messages in rows.items() for hint in self._tables[form].hint(messages)]
        await self._connection.execute_all("counting messages", hints)


def _key(message: StoredMessage) -> _Key:
    return message.message_id, message.channel_id


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


def _by_form(messages: Iterable[StoredMessage]) -> Iterator[tuple[RowForm, list[StoredMessage]]]:
    """The messages of each table that has some."""
    groups: dict[RowForm, list[StoredMessage]] = {}
    for message in messages:
        for form in forms_of(message):
            groups.setdefault(form, []).append(message)
    return iter(groups.items())
