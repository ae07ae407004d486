"""The message store in Cassandra, as a process opens it and `fanout check` looks at it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fanout.errors import ForeignStore, Unavailable
from fanout.ports.messages import Messages
from services.adapters.cassandra.messages import CassandraMessages
from services.composition.backends import Backends
from services.composition.table import BACKENDS
from services.runtime.health import Health
from services.runtime.settings import load_settings
from tests.support.servers import free_port
from tests.support.stored import in_history


@asynccontextmanager
async def backends(hosts: str, prefix: str, data_dir: Path, **options: Any) -> AsyncIterator[Backends]:
    settings = load_settings(cassandra_hosts=hosts, prefix=prefix, data_dir=data_dir)
    async with AsyncExitStack() as stack:
        yield Backends(BACKENDS, settings, Health(), stack, alone=True, **options)


async def _look(hosts: str, prefix: str, data_dir: Path) -> str:
    async with backends(hosts, prefix, data_dir) as process:
        return (await process.chosen(Messages).look(process)).good


async def test_the_first_start_creates_the_keyspace_with_the_deployments_id(
    cassandra: str, keyspace_prefix: str, tmp_path: Path
) -> None:
    assert "created or completed at the first start" in await _look(cassandra, keyspace_prefix, tmp_path)
    async with backends(cassandra, keyspace_prefix, tmp_path) as process:
        store = await process.open(Messages)
        assert isinstance(store, CassandraMessages)
        await store.write([in_history(1)])
    assert await _look(cassandra, keyspace_prefix, tmp_path) == f"Cassandra, keyspace {keyspace_prefix}_fanout"
    async with backends(cassandra, keyspace_prefix, tmp_path / "other", adopt=True) as other:
        with pytest.raises(ForeignStore, match="of deployment"):
            await other.open(Messages)
    async with backends(cassandra, keyspace_prefix, tmp_path) as process:
        assert len((await (await process.open(Messages)).history("general")).messages) == 1


async def test_readyz_has_its_check(cassandra: str, keyspace_prefix: str, tmp_path: Path) -> None:
    settings = load_settings(cassandra_hosts=cassandra, prefix=keyspace_prefix, data_dir=tmp_path)
    health = Health()
    async with AsyncExitStack() as stack:
        await Backends(BACKENDS, settings, health, stack, alone=True).open(Messages)
        report = await health.report()
    assert report.checks["messages"] == "ok"


async def test_hosts_that_do_not_answer_are_named_without_the_password(tmp_path: Path) -> None:
    hosts = f"ann:hunter2@127.0.0.1:{free_port()}"
    async with backends(hosts, "away", tmp_path) as process:
        with pytest.raises(Unavailable, match="FANOUT_CASSANDRA_HOSTS: no Cassandra node") as opening:
            await process.open(Messages)
        with pytest.raises(Unavailable, match="FANOUT_CASSANDRA_HOSTS: no Cassandra node") as looking:
            await process.chosen(Messages).look(process)
    assert "hunter2" not in f"{opening.value}{looking.value}"
