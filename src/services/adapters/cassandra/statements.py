"""The statements, prepared. Each names its columns, so that a column that is added later changes no result."""

from typing import Any, Final, NamedTuple, Self

from fanout.message_rows import IN_CHANNELS, IN_THREADS, RowForm
from services.adapters.cassandra.connection import CassandraConnection

_TABLES: Final = {IN_CHANNELS: ("messages", "channel_buckets"), IN_THREADS: ("thread_messages", "thread_summary")}
"""The table of the rows of a form, and the one that says in which buckets an owner has rows."""

# A row of a message carries its `seq` as its timestamp: what a later position deletes stays deleted, whenever it is
# written.
_OF_ROWS: Final = {
    "register": "INSERT INTO {keyspace}.{buckets} ({owner}, bucket) VALUES (?, ?)",
    "hint": "INSERT INTO {keyspace}.{buckets} ({owner}, bucket, at_least) VALUES (?, ?, ?) USING TIMESTAMP ?",
    "insert": "INSERT INTO {keyspace}.{rows} ({owner}, bucket, {columns}) VALUES (?, ?, {marks}) USING TIMESTAMP ?",
    "remove": "DELETE FROM {keyspace}.{rows} USING TIMESTAMP ? "
    "WHERE {owner} = ? AND bucket = ? AND seq = ? AND message_id = ?",
    "stored": "SELECT seq, message_id FROM {keyspace}.{rows} "
    "WHERE {owner} = ? AND bucket = ? AND seq IN ? LIMIT 100000",
    "one": "SELECT {columns} FROM {keyspace}.{rows} "
    "WHERE {owner} = ? AND bucket = ? AND seq = ? AND message_id = ? LIMIT 1",
    "newest_first": "SELECT {columns} FROM {keyspace}.{rows} WHERE {owner} = ? AND bucket = ? "
    "AND (seq, message_id) < (?, ?) AND (seq, message_id) > (?, ?) ORDER BY seq DESC, message_id DESC LIMIT ?",
    "oldest_first": "SELECT {columns} FROM {keyspace}.{rows} WHERE {owner} = ? AND bucket = ? "
    "AND (seq, message_id) < (?, ?) AND (seq, message_id) > (?, ?) ORDER BY seq ASC, message_id ASC LIMIT ?",
    "count": "SELECT count(seq) FROM {keyspace}.{rows} "
    "WHERE {owner} = ? AND bucket = ? AND seq > ? AND seq <= ? LIMIT 1",
    "buckets_down": "SELECT bucket, at_least FROM {keyspace}.{buckets} "
    "WHERE {owner} = ? AND bucket <= ? AND bucket >= ? ORDER BY bucket DESC LIMIT ?",
    "buckets_up": "SELECT bucket, at_least FROM {keyspace}.{buckets} "
    "WHERE {owner} = ? AND bucket <= ? AND bucket >= ? ORDER BY bucket ASC LIMIT ?",
}
_CQL: Final = {
    "index": "INSERT INTO {keyspace}.message_index (message_id, channel_id, seq, thread_id, sender_id) "
    "VALUES (?, ?, ?, ?, ?) "
    "USING TIMESTAMP ?",
    "entry": "SELECT channel_id, seq, thread_id, sender_id FROM {keyspace}.message_index WHERE message_id = ? LIMIT 1",
    "positions": "SELECT seq FROM {keyspace}.message_index WHERE message_id = ? AND channel_id = ? LIMIT 1000",
    "unindex": "DELETE FROM {keyspace}.message_index USING TIMESTAMP ? "
    "WHERE message_id = ? AND channel_id = ? AND seq = ?",
    # The first receipt stays, so its timestamp is its time, negative. So an operator can delete the row, too.
    "keep_receipt": "INSERT INTO {keyspace}.message_receipts (channel_id, message_id, user_id, read_at) "
    "VALUES (?, ?, ?, ?) USING TIMESTAMP ?",
    "receipts": "SELECT user_id, read_at FROM {keyspace}.message_receipts "
    "WHERE channel_id = ? AND message_id = ? LIMIT ?",
    "keep_place": "INSERT INTO {keyspace}.log_place (one, seq, stored_ns) VALUES (1, ?, ?) USING TIMESTAMP ?",
    "place": "SELECT seq, stored_ns FROM {keyspace}.log_place WHERE one = 1 LIMIT 1",
    "value": "SELECT value FROM {keyspace}.store_values WHERE name = ? LIMIT 1",
    "some_bucket": "SELECT bucket FROM {keyspace}.channel_buckets LIMIT 1",
    "some_place": "SELECT seq FROM {keyspace}.log_place LIMIT 1",
}


class RowStatements(NamedTuple):
    """The prepared statements for the rows of one form, by what they do."""

    register: Any
    hint: Any
    insert: Any
    remove: Any
    stored: Any
    one: Any
    newest_first: Any
    oldest_first: Any
    count: Any
    buckets_down: Any
    buckets_up: Any


class Statements(NamedTuple):
    """The prepared statements, by what they do."""

    rows: dict[RowForm, RowStatements]
    index: Any
    entry: Any
    positions: Any
    unindex: Any
    keep_receipt: Any
    receipts: Any
    keep_place: Any
    place: Any
    value: Any
    some_bucket: Any
    some_place: Any

    @classmethod
    async def prepare(cls, connection: CassandraConnection, keyspace: str) -> Self:
        """Prepare them for a keyspace that has its tables.

        Raises:
            Unavailable: the cluster cannot do it now.
        """
        rows = {form: RowStatements(*await connection.prepare(_texts_of(form, keyspace))) for form in _TABLES}
        texts = [_CQL[name].format(keyspace=keyspace) for name in cls._fields if name in _CQL]
        return cls(rows, *await connection.prepare(texts))


def _texts_of(form: RowForm, keyspace: str) -> list[str]:
    rows, buckets = _TABLES[form]
    columns, marks = ", ".join(form.columns), ", ".join("?" * len(form.columns))
    return [
        _OF_ROWS[name].format(
            keyspace=keyspace, rows=rows, buckets=buckets, owner=form.owner, columns=columns, marks=marks
        )
        for name in RowStatements._fields
    ]
