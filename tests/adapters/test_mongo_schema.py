"""Whose a database is, and what is created in it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fanout.errors import ForeignStore
from fanout.ports.memberships import Channel
from services.adapters.mongo import schema
from services.adapters.mongo.client import Database, make_client
from services.adapters.mongo.memberships import MongoMemberships

GENERAL = Channel("general", "General", private=False, created_by="alice", created_at="2026-02-01T10:00:00.000Z")


@pytest.fixture
async def database(mongo_url: str) -> AsyncIterator[Database]:
    async with make_client(mongo_url) as client:
        yield client.get_default_database()


async def _open(url: str, prefix: str = "") -> None:
    await (await MongoMemberships.open(url, prefix=prefix)).close()


async def test_indexes_are_created_by_any_number_of_processes_at_once(mongo_url: str, database: Database) -> None:
    await asyncio.gather(*(_open(mongo_url) for _ in range(5)))
    for name, indexes in schema.INDEXES.items():
        assert await database[name].index_information() == {
            "_id_": {"key": [("_id", 1)], "v": 2},
            **{each.document["name"]: {"key": list(each.document["key"].items()), "v": 2} for each in indexes},
        }


async def test_a_database_of_before_threads_gets_the_indexes_of_followers(mongo_url: str, database: Database) -> None:
    await _open(mongo_url)
    await database.drop_collection(schema.FOLLOWERS)
    await _open(mongo_url)
    assert set(await database[schema.FOLLOWERS].index_information()) == {"_id_", "by_thread", "by_member"}


async def test_looking_creates_nothing(mongo_url: str, database: Database) -> None:
    found = await MongoMemberships.look(mongo_url)
    assert (found.database, found.created, found.deployment) == (database.name, False, None)
    assert await database.list_collection_names() == []
    await _open(mongo_url)
    assert (await MongoMemberships.look(mongo_url)).created


async def test_a_server_that_is_no_replica_set_is_weak(mongo_url: str) -> None:
    (line,) = (await MongoMemberships.look(mongo_url)).weak
    assert "no replica set" in line


@pytest.mark.parametrize("name", [schema.CHANNELS, schema.MEMBERSHIPS, schema.FOLLOWERS])
async def test_documents_of_another_program_are_refused(mongo_url: str, database: Database, name: str) -> None:
    await database[name].insert_one({"_id": "theirs"})
    for call in (MongoMemberships.open(mongo_url), MongoMemberships.look(mongo_url)):
        with pytest.raises(ForeignStore, match=f"documents in {name} that Fanout did not write"):
            await call
    assert await database[name].index_information() == {"_id_": {"key": [("_id", 1)], "v": 2}}


async def test_a_database_of_another_prefix_is_refused(mongo_url: str) -> None:
    await _open(mongo_url, "x")
    for call in (MongoMemberships.open(mongo_url, prefix="y"), MongoMemberships.look(mongo_url)):
        with pytest.raises(ForeignStore, match="belongs to the deployment with FANOUT_PREFIX=x"):
            await call
    await _open(mongo_url, "x")


async def test_a_database_of_another_version_is_refused(mongo_url: str, database: Database) -> None:
    await database[schema.DEPLOYMENT].insert_one({"_id": "store", "schema": schema.VERSION + 1, "prefix": ""})
    with pytest.raises(ForeignStore, match=f"has version {schema.VERSION + 1}"):
        await MongoMemberships.open(mongo_url)


async def test_an_index_of_the_same_name_and_another_kind_is_refused(mongo_url: str, database: Database) -> None:
    await database[schema.MEMBERSHIPS].create_index([("untold", 1)], name="theirs")
    with pytest.raises(ForeignStore, match="an index of memberships"):
        await MongoMemberships.open(mongo_url)
