"""The newest of some documents stay, whatever happens between two commands."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection

from fanout.errors import OutcomeUnknown
from services.adapters.mongo import newest
from services.adapters.mongo.newest import Among, keep_newest

AMONG = Among({"kind": "k"}, "time", keep=2, drop={"$set": {"kind": "dropped"}})


def at(millisecond: int) -> str:
    return f"2026-02-01T10:00:00.{millisecond:03d}Z"


@pytest.fixture
async def collection(mongo_url: str) -> AsyncIterator[AsyncCollection[dict[str, Any]]]:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongo_url)
    yield client.get_default_database()["some"]
    await client.close()


async def write(collection: AsyncCollection[dict[str, Any]], **times: int) -> None:
    await collection.insert_many([{"_id": name, "kind": "k", "time": at(time)} for name, time in times.items()])


async def kept(collection: AsyncCollection[dict[str, Any]]) -> dict[str, str]:
    return {each["_id"]: each["time"] for each in await collection.find({"kind": "k"}).to_list()}


async def test_the_oldest_go(collection: AsyncCollection[dict[str, Any]]) -> None:
    await write(collection, a=3, b=1, c=2, d=4)
    assert [each["_id"] for each in await keep_newest(collection, "d", AMONG)] == ["b", "c"]
    assert await keep_newest(collection, "d", AMONG) == []
    assert await kept(collection) == {"a": at(3), "d": at(4)}


async def test_the_callers_own_becomes_the_newest_if_it_would_go(collection: AsyncCollection[dict[str, Any]]) -> None:
    await write(collection, a=3, b=5, own=1)
    assert [each["_id"] for each in await keep_newest(collection, "own", AMONG)] == ["a"]
    assert await kept(collection) == {"b": at(5), "own": at(6)}


async def test_a_caller_whose_own_has_gone_lets_none_go(collection: AsyncCollection[dict[str, Any]]) -> None:
    await write(collection, a=3, b=5, c=1)
    assert await keep_newest(collection, "own", AMONG) == []


async def test_a_document_that_changes_meanwhile_does_not_go(
    collection: AsyncCollection[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(collection, a=1, b=2, own=9)
    changed, original = list[object](), newest._changed

    async def change_first(*arguments: Any) -> bool:
        if not changed:
            changed.append(await collection.update_one({"_id": "a"}, {"$set": {"time": at(8)}}))
        return await original(*arguments)

    monkeypatch.setattr(newest, "_changed", change_first)
    assert [each["_id"] for each in await keep_newest(collection, "own", AMONG)] == ["b"]
    assert await kept(collection) == {"a": at(8), "own": at(9)}


async def test_it_does_not_try_for_ever(
    collection: AsyncCollection[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(collection, a=1, b=2, own=9)

    async def nothing(*_: Any) -> bool:
        return False

    monkeypatch.setattr(newest, "_changed", nothing)
    with pytest.raises(OutcomeUnknown):
        await keep_newest(collection, "own", AMONG)
