"""The keyspace and its tables: created once, completed later, and changed under processes that run."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import pytest

from fanout.events import StoredMessage
from services.adapters.cassandra import schema
from services.adapters.cassandra.connection import CassandraConnection, connect
from services.adapters.cassandra.hosts import Hosts
from services.adapters.cassandra.messages import CassandraMessages
from tests.support.cassandra import opened_cassandra
from tests.support.stored import in_history

COLUMNS: Final = "SELECT table_name, column_name, type FROM system_schema.columns WHERE keyspace_name = %s LIMIT 1000"


@pytest.fixture
async def connection(cassandra: str) -> AsyncIterator[CassandraConnection]:
    opened = await connect(Hosts.parse([cassandra]))
    yield opened
    await opened.close()


@pytest.mark.parametrize(("prefix", "name"), [("", "fanout"), ("blue", "blue_fanout")])
def test_a_prefix_names_the_keyspace(prefix: str, name: str) -> None:
    assert schema.keyspace_of(prefix) == name


async def test_what_was_created_is_complete_and_nothing_is_missing(
    connection: CassandraConnection, keyspace_prefix: str
) -> None:
    keyspace = schema.keyspace_of(keyspace_prefix)
    assert len(await schema.missing(connection, keyspace)) == 1 + len(schema.TABLES)
    assert await schema.replication(connection, keyspace) is None
    await schema.create(connection, keyspace)
    assert await schema.missing(connection, keyspace) == []
    found = {(table, column): kind for table, column, kind in await connection.execute("it", COLUMNS, keyspace)}
    assert found == {(table.name, name): kind for table in schema.TABLES for name, kind in table.columns.items()}


async def test_several_processes_create_it_at_once(cassandra: str, keyspace_prefix: str) -> None:
    async def use() -> list[StoredMessage]:
        async with opened_cassandra(cassandra, keyspace_prefix) as store:
            message = in_history(1)
            await store.write([message])
            return [message]

    written = await asyncio.gather(*(use() for _ in range(3)))
    async with opened_cassandra(cassandra, keyspace_prefix) as store:
        found = (await store.history("general")).messages
    assert sorted(each.message_id for each in found) == sorted(one.message_id for (one,) in written)


async def test_a_column_is_added_under_readers_and_writers(
    cassandra: str, keyspace_prefix: str, connection: CassandraConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyspace = schema.keyspace_of(keyspace_prefix)
    first, *others = schema.TABLES
    wider = first._replace(columns={**first.columns, "about": "text", "zone": "text"})
    async with opened_cassandra(cassandra, keyspace_prefix) as store:
        written: list[StoredMessage] = []
        changed = asyncio.Event()

        async def work() -> None:
            while not changed.is_set() or len(written) < 50:
                written.append(in_history(len(written) + 1))
                await store.write(written[-1:])
                assert (await store.history("general", limit=200)).messages == written[:-201:-1]

        async def change() -> None:
            monkeypatch.setattr(schema, "TABLES", (wider, *others))
            await asyncio.gather(schema.create(connection, keyspace), schema.create(connection, keyspace))
            changed.set()

        await asyncio.gather(work(), change())
        assert await schema.missing(connection, keyspace) == []
        assert (await store.history("general", limit=200)).messages == written[:-201:-1]


def _before_threads(table: schema.Table) -> schema.Table:
    added = {"messages": "also_send_to_channel", "message_index": "thread_id"}.get(table.name)
    return table._replace(columns={name: kind for name, kind in table.columns.items() if name != added})


async def test_a_keyspace_of_before_threads_gets_their_tables_and_keeps_its_messages(
    cassandra: str, keyspace_prefix: str, connection: CassandraConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyspace, message = schema.keyspace_of(keyspace_prefix), in_history(1)
    with monkeypatch.context() as patched:
        earlier = [_before_threads(each) for each in schema.TABLES if not each.name.startswith("thread_")]
        patched.setattr(schema, "TABLES", earlier)
        await schema.create(connection, keyspace)
    values = f"VALUES ('general', 0, 1, '{message.message_id}', 'alice', 'hello', '{message.sent_at}')"
    columns = "(channel_id, bucket, seq, message_id, sender_id, text, sent_at)"
    insert = f"INSERT INTO {keyspace}.messages {columns} {values} USING TIMESTAMP 1"
    register = f"INSERT INTO {keyspace}.channel_buckets (channel_id, bucket) VALUES ('general', 0)"  # noqa: S608 - constants
    for statement in (insert, register):
        await connection.execute("writing", statement)
    assert len(await schema.missing(connection, keyspace)) == 4
    async with opened_cassandra(cassandra, keyspace_prefix) as store:
        assert await schema.missing(connection, keyspace) == []
        reply = in_history(2, thread_id=message.message_id, also_send_to_channel=True)
        await store.write([reply])
        assert (await store.history("general")).messages == [reply, message]
        assert (await store.replies(message.message_id)).messages == [reply]


async def test_a_keyspace_of_the_operator_keeps_its_replication(
    connection: CassandraConnection, keyspace_prefix: str
) -> None:
    keyspace = schema.keyspace_of(keyspace_prefix)
    how = "{'class': 'NetworkTopologyStrategy', 'datacenter1': 3}"
    await connection.change_schema(f"CREATE KEYSPACE {keyspace} WITH replication = {how}")
    await schema.create(connection, keyspace)
    assert (await schema.replication(connection, keyspace) or {})["datacenter1"] == "3"
    assert await schema.warnings(connection, keyspace) == []


async def test_a_keyspace_of_one_replica_is_weak(cassandra: str, keyspace_prefix: str) -> None:
    hosts = Hosts.parse([cassandra])
    good, weak = await CassandraMessages.look(hosts, prefix=keyspace_prefix, deployment=None)
    assert "created or completed at the first start" in good
    assert weak == []
    async with opened_cassandra(cassandra, keyspace_prefix) as store:
        good, weak = await CassandraMessages.look(hosts, prefix=keyspace_prefix, deployment=None)
        assert good == f"Cassandra, keyspace {store.keyspace}"
    assert len(weak) == 1
    assert "fewer than 3 replicas" in weak[0]
