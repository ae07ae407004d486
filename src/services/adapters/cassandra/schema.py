"""The keyspace and its tables. Changes are additive: tables and columns are added, and none is changed or removed."""

import hashlib
from typing import Final, NamedTuple

from services.adapters.cassandra.connection import CassandraConnection

NAME: Final = "fanout"
_SAFE_REPLICAS: Final = 3


class Table(NamedTuple):
    """A table of the keyspace."""

    name: str
    columns: dict[str, str]
    """The type of each. A column that is added later is added to the tables that exist."""
    key: str
    order: str = ""


TABLES: Final = (
    Table(
        "messages",
        {
            "channel_id": "text",
            "bucket": "bigint",
            "seq": "bigint",
            "message_id": "text",
            "sender_id": "text",
            "text": "text",
            "sent_at": "text",
            "thread_id": "text",
            "mentions": "text",
            "attachments": "text",
            "client_msg_id": "text",
            "also_send_to_channel": "boolean",
        },
        key="(channel_id, bucket), seq, message_id",
        order="seq DESC, message_id DESC",
    ),
    Table(
        "thread_messages",
        {
            "thread_id": "text",
            "bucket": "bigint",
            "seq": "bigint",
            "message_id": "text",
            "channel_id": "text",
            "sender_id": "text",
            "text": "text",
            "sent_at": "text",
            "mentions": "text",
            "attachments": "text",
            "client_msg_id": "text",
            "also_send_to_channel": "boolean",
        },
        key="(thread_id, bucket), seq, message_id",
    ),
    Table(
        "message_index",
        {"message_id": "text", "channel_id": "text", "seq": "bigint", "thread_id": "text", "sender_id": "text"},
        key="message_id, channel_id, seq",
        order="channel_id ASC, seq DESC",
    ),
    Table(
        "channel_buckets",
        {"channel_id": "text", "bucket": "bigint", "at_least": "int"},
        key="channel_id, bucket",
        order="bucket DESC",
    ),
    Table(
        "thread_summary",
        {"thread_id": "text", "bucket": "bigint", "at_least": "int"},
        key="thread_id, bucket",
    ),
    Table(
        "message_receipts",
        {"channel_id": "text", "message_id": "text", "user_id": "text", "read_at": "text"},
        key="(channel_id, message_id), user_id",
    ),
    Table("log_place", {"one": "int", "seq": "bigint", "stored_ns": "bigint"}, key="one"),
    Table("store_values", {"name": "text", "value": "text"}, key="name"),
)

_COLUMNS_THERE: Final = "SELECT table_name, column_name FROM system_schema.columns WHERE keyspace_name = %s LIMIT 10000"
_REPLICATION: Final = "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = %s LIMIT 1"


def keyspace_of(prefix: str) -> str:
    """The name of a deployment's keyspace."""
    return f"{prefix}_{NAME}" if prefix else NAME


async def create(connection: CassandraConnection, keyspace: str) -> None:
    """Create what is missing of the keyspace. Where nothing is, this needs no right to create something.

    A keyspace that an operator created before keeps its replication.

    Raises:
        Unavailable: the cluster cannot do it now.
    """
    for statement in await missing(connection, keyspace):
        await connection.change_schema(statement)


async def missing(connection: CassandraConnection, keyspace: str) -> list[str]:
    """The statements that create what is missing. Each does nothing where another process was faster.

    Raises:
        Unavailable: the cluster cannot be read now.
    """
    statements = [] if await replication(connection, keyspace) is not None else [_keyspace(connection, keyspace)]
    there: dict[str, set[str]] = {}
    for table, column in await connection.execute("reading its schema", _COLUMNS_THERE, keyspace):
        there.setdefault(table, set()).add(column)
    for each in TABLES:
        if (columns := there.get(each.name)) is None:
            statements.append(_table(keyspace, each))
        else:
            statements += [
                f"ALTER TABLE {keyspace}.{each.name} ADD IF NOT EXISTS {column} {kind}"
                for column, kind in each.columns.items()
                if column not in columns
            ]
    return statements


async def replication(connection: CassandraConnection, keyspace: str) -> dict[str, str] | None:
    """The replication of the keyspace; None where there is no keyspace.

    Raises:
        Unavailable: the cluster cannot be read now.
    """
    rows = await connection.execute("reading its keyspaces", _REPLICATION, keyspace)
    return dict(rows[0][0]) if rows else None


async def warnings(connection: CassandraConnection, keyspace: str) -> list[str]:
    """Say what of the replication works but should be changed, a line each.

    Raises:
        Unavailable: the cluster cannot be read now.
    """
    found = await replication(connection, keyspace) or {}
    factors = [int(value) for name, value in found.items() if name != "class" and value.isdigit()]
    if not found or min(factors, default=0) >= _SAFE_REPLICAS:
        return []
    why = "messages are lost with a node's disk, and the store is unavailable while a node is down"
    return [f"the keyspace {keyspace} has fewer than 3 replicas: {why}; see docs/durability.md"]


def _keyspace(connection: CassandraConnection, keyspace: str) -> str:
    replicas = _SAFE_REPLICAS if connection.nodes() >= _SAFE_REPLICAS else 1
    how = f"{{'class': 'NetworkTopologyStrategy', 'replication_factor': {replicas}}}"
    return f"CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {how}"


def _table(keyspace: str, table: Table) -> str:
    columns = ", ".join(f"{name} {kind}" for name, kind in table.columns.items())
    # Two nodes that create a table at once would give it two ids, and lose what is written under one of them.
    options = f"id = {_id(keyspace, table.name)}"
    if table.order:
        options = f"CLUSTERING ORDER BY ({table.order}) AND {options}"
    return f"CREATE TABLE IF NOT EXISTS {keyspace}.{table.name} ({columns}, PRIMARY KEY ({table.key})) WITH {options}"


def _id(keyspace: str, table: str) -> str:
    digits = hashlib.sha256(f"{keyspace}.{table}".encode()).hexdigest()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))
