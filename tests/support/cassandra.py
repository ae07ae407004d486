"""The message store in a Cassandra of the tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from services.adapters.cassandra.hosts import Hosts
from services.adapters.cassandra.messages import CassandraMessages


@asynccontextmanager
async def opened_cassandra(host: str, prefix: str, **options: Any) -> AsyncIterator[CassandraMessages]:
    """A store in a keyspace of its own, closed with the context."""
    store = await CassandraMessages.open(Hosts.parse([host]), prefix=prefix, **options)
    try:
        yield store
    finally:
        await store.close()
