"""The statements, prepared. Each names its columns, so that a column that is added later changes no result."""

from typing import Any, Final, NamedTuple, Self

from fanout.message_rows import COLUMNS
from services.adapters.cassandra.connection import CassandraConnection

_CQL: Final = {
    # A row of a message carries its `seq` as its timestamp: what a later position deletes stays deleted, whenever it
    # is written.
    "index": "INSERT INTO {keyspace}.message_index (message_id, channel_id, seq) VALUES (?, ?, ?) USING TIMESTAMP ?",
    "positions": "SELECT seq FROM {keyspace}.message_index WHERE message_id = ? AND channel_id = ? LIMIT 1000",
    "unindex": "DELETE FROM {keyspace}.message_index USING TIMESTAMP ? "
    "WHERE message_id = ? AND channel_id = ? AND seq = ?",
    "register": "INSERT INTO {keyspace}.channel_buckets (channel_id, bucket) VALUES (?, ?)",
    "hint": "INSERT INTO {keyspace}.channel_buckets (channel_id, bucket, at_least) VALUES (?, ?, ?) USING TIMESTAMP ?",
    "message": "INSERT INTO {keyspace}.messages (channel_id, bucket, {columns}) VALUES (?, ?, {marks}) "
    "USING TIMESTAMP ?",
    "remove": "DELETE FROM {keyspace}.messages USING TIMESTAMP ? "
    "WHERE channel_id = ? AND bucket = ? AND seq = ? AND message_id = ?",
    "stored": "SELECT seq, message_id FROM {keyspace}.messages "
    "WHERE channel_id = ? AND bucket = ? AND seq IN ? LIMIT 100000",
    "one": "SELECT {columns} FROM {keyspace}.messages "
    "WHERE channel_id = ? AND bucket = ? AND seq = ? AND message_id = ? LIMIT 1",
    "newest_first": "SELECT {columns} FROM {keyspace}.messages WHERE channel_id = ? AND bucket = ? "
    "AND (seq, message_id) < (?, ?) AND (seq, message_id) > (?, ?) LIMIT ?",
    "oldest_first": "SELECT {columns} FROM {keyspace}.messages WHERE channel_id = ? AND bucket = ? "
    "AND (seq, message_id) < (?, ?) AND (seq, message_id) > (?, ?) ORDER BY seq ASC, message_id ASC LIMIT ?",
    "buckets_down": "SELECT bucket, at_least FROM {keyspace}.channel_buckets "
    "WHERE channel_id = ? AND bucket <= ? AND bucket >= ? LIMIT ?",
    "buckets_up": "SELECT bucket, at_least FROM {keyspace}.channel_buckets "
    "WHERE channel_id = ? AND bucket <= ? AND bucket >= ? ORDER BY bucket ASC LIMIT ?",
    "keep_place": "INSERT INTO {keyspace}.log_place (one, seq, stored_ns) VALUES (1, ?, ?) USING TIMESTAMP ?",
    "place": "SELECT seq, stored_ns FROM {keyspace}.log_place WHERE one = 1 LIMIT 1",
    "value": "SELECT value FROM {keyspace}.store_values WHERE name = ? LIMIT 1",
    "some_bucket": "SELECT bucket FROM {keyspace}.channel_buckets LIMIT 1",
    "some_place": "SELECT seq FROM {keyspace}.log_place LIMIT 1",
}


class Statements(NamedTuple):
    """The prepared statements, by what they do."""

    index: Any
    positions: Any
    unindex: Any
    register: Any
    hint: Any
    message: Any
    remove: Any
    stored: Any
    one: Any
    newest_first: Any
    oldest_first: Any
    buckets_down: Any
    buckets_up: Any
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
        marks = ", ".join("?" * len(COLUMNS))
        texts = [_CQL[name].format(keyspace=keyspace, columns=", ".join(COLUMNS), marks=marks) for name in cls._fields]
        return cls(*await connection.prepare(texts))
