"""The deployment's id in a keyspace."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fanout.errors import ForeignStore
from fanout.ports.messages import LogPlace
from services.adapters.cassandra.hosts import Hosts
from services.adapters.cassandra.messages import CassandraMessages
from tests.support.cassandra import opened_cassandra
from tests.support.stored import in_history

OURS, THEIRS = "dep_ours", "dep_theirs"


@pytest.fixture
async def store(cassandra: str, keyspace_prefix: str) -> AsyncIterator[CassandraMessages]:
    async with opened_cassandra(cassandra, keyspace_prefix) as opened:
        yield opened


async def test_an_empty_keyspace_takes_the_id_and_keeps_it(store: CassandraMessages) -> None:
    await store.claim_for(OURS)
    await store.write([in_history(1)])
    await store.claim_for(OURS)
    for adopt in (False, True):
        with pytest.raises(ForeignStore, match=f"of deployment {OURS}, and this is {THEIRS}"):
            await store.claim_for(THEIRS, adopt=adopt)


@pytest.mark.parametrize("content", ["messages", "place"])
async def test_a_keyspace_in_use_without_an_id_is_adopted_on_demand(store: CassandraMessages, content: str) -> None:
    await store.write([in_history(1)] if content == "messages" else [], LogPlace(1, 1) if content == "place" else None)
    with pytest.raises(ForeignStore, match="migrate --adopt"):
        await store.claim_for(OURS)
    await store.claim_for(OURS, adopt=True)
    await store.claim_for(OURS)


async def test_of_two_deployments_at_once_one_gets_it(store: CassandraMessages) -> None:
    results = await asyncio.gather(*(store.claim_for(each) for each in (OURS, THEIRS)), return_exceptions=True)
    assert sorted(map(type, results), key=str) == [type(None), ForeignStore]


async def test_looking_claims_nothing(cassandra: str, keyspace_prefix: str, store: CassandraMessages) -> None:
    hosts = Hosts.parse([cassandra])
    await CassandraMessages.look(hosts, prefix=keyspace_prefix, deployment=THEIRS)
    await store.claim_for(OURS)
    await CassandraMessages.look(hosts, prefix=keyspace_prefix, deployment=OURS)
    for other in (THEIRS, None):
        with pytest.raises(ForeignStore):
            await CassandraMessages.look(hosts, prefix=keyspace_prefix, deployment=other)
