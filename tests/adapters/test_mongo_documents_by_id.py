"""Documents by their ids: many at a time, and one by one where the server is too slow for that."""

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from pymongo.errors import AutoReconnect, ExecutionTimeout, NetworkTimeout

from fanout.ports.imports import NewMembership
from fanout.ports.memberships import Channel
from services.adapters.mongo.client import TIMEOUT_S
from services.adapters.mongo.documents_by_id import ONE_BY_ONE_S, READ_AT_ONCE, DocumentsById, in_batches
from services.adapters.mongo.memberships import MongoMemberships
from tests.support.reading import PATIENCE_S

CREATED = "2026-02-01T10:00:00.000Z"


class SlowCollection:
    """Has the documents of even numbers, and fails queries of several ids with the errors that it is given."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.queries: list[int] = []
        """How many ids each query had."""

    def find(self, query: dict[str, Any], _projection: object, *, batch_size: int, max_time_ms: int) -> "SlowCollection":
        assert batch_size > len(query["_id"]["$in"])
        assert max_time_ms < 1_000 * TIMEOUT_S
        self._wanted = query["_id"]["$in"]
        return self

    async def to_list(self) -> list[dict[str, Any]]:
        self.queries.append(len(self._wanted))
        if self.errors:
            raise self.errors.pop(0)
        return [{"_id": each} for each in self._wanted if int(each) % 2 == 0]

    async def find_one(self, query: dict[str, str], _projection: object) -> dict[str, str] | None:
        self.queries.append(1)
        return {"_id": query["_id"]} if int(query["_id"]) % 2 == 0 else None


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def reader(collection: SlowCollection, clock: Clock) -> DocumentsById:
    return DocumentsById(cast("Any", collection), clock)


IDS = [str(number) for number in range(2 * READ_AT_ONCE + 1)]
EVEN = [{"_id": each} for each in IDS if int(each) % 2 == 0]


async def test_many_are_read_by_one_query() -> None:
    collection = SlowCollection()
    assert await reader(collection, Clock()).found(IDS) == EVEN
    assert collection.queries == [len(IDS)]


@pytest.mark.parametrize(("ids", "found"), [([], []), (["2"], [{"_id": "2"}]), (["3"], [])])
async def test_none_and_a_single_one_need_no_query_of_many(ids: list[str], found: list[object]) -> None:
    collection = SlowCollection(NetworkTimeout("never asked"))
    assert await reader(collection, Clock()).found(ids) == found
    assert collection.queries == [1] * len(ids)


@pytest.mark.parametrize("error", [NetworkTimeout("timed out"), ExecutionTimeout("operation exceeded time limit", 50)])
async def test_after_a_query_without_an_answer_they_are_read_one_by_one_for_a_while(error: Exception) -> None:
    collection, clock = SlowCollection(error), Clock()
    by_id = reader(collection, clock)
    assert await by_id.found(IDS) == EVEN
    assert collection.queries == [len(IDS), *[1] * len(IDS)]
    clock.now += ONE_BY_ONE_S - 1
    collection.queries.clear()
    assert await by_id.found(IDS) == EVEN
    assert collection.queries == [1] * len(IDS)
    clock.now += 1
    collection.queries.clear()
    assert await by_id.found(IDS) == EVEN
    assert collection.queries == [len(IDS)]


async def test_a_lost_connection_is_no_slow_server() -> None:
    collection = SlowCollection(AutoReconnect("connection closed"))
    by_id = reader(collection, Clock())
    with pytest.raises(AutoReconnect):
        await by_id.found(IDS)
    assert await by_id.found(IDS) == EVEN
    assert collection.queries == [len(IDS), len(IDS)]


@pytest.fixture
async def store(mongo_url: str) -> AsyncIterator[MongoMemberships]:
    opened = await MongoMemberships.open(mongo_url, timeout_s=PATIENCE_S)
    yield opened
    await opened.close()


async def test_an_import_is_written_where_no_query_of_many_is_answered(
    store: MongoMemberships, monkeypatch: pytest.MonkeyPatch
) -> None:
    def timing_out(collection: Any, query: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        if "$in" in str(query):
            raise NetworkTimeout("timed out")
        return find(collection, query, *args, **kwargs)

    collection = type(store._documents)
    find = collection.find
    monkeypatch.setattr(collection, "find", timing_out)
    names = ["a", "b", "c"]
    await store.imports.create_channels(
        [Channel(each, each, private=False, created_by="alice", created_at=CREATED) for each in names]
    )
    assert await store.imports.missing_channels([*names, "nowhere"]) == {"nowhere"}
    new = [NewMembership(each, "bob", CREATED) for each in names]
    assert await store.imports.add_memberships(new) == 3
    await store.remove("b", "bob", CREATED)
    assert await store.imports.add_memberships(new) == 1
    assert await store.channels_of("bob") == names


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (3, [3]), (4, [3, 1])])
def test_a_batch_has_so_many_at_most(count: int, sizes: list[int]) -> None:
    assert [len(batch) for batch in in_batches(range(count), 3)] == sizes
