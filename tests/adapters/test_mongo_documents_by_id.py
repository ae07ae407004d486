"""Documents by their ids, and how long a server is given to find them."""

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from pymongo import _csot
from pymongo.errors import AutoReconnect, ExecutionTimeout, NetworkTimeout

from fanout.packed_ids import unpack
from fanout.ports.imports import NewMembership
from fanout.ports.memberships import Channel
from services.adapters.mongo.client import TIMEOUT_S
from services.adapters.mongo.documents_by_id import LONGER, DocumentsById, in_batches
from services.adapters.mongo.memberships import MongoMemberships
from tests.support.reading import PATIENCE_S

CREATED = "2026-02-01T10:00:00.000Z"
IDS = ["0", "1", "2", "3", "4"]
EVEN = [{"_id": each} for each in IDS if int(each) % 2 == 0]


class SlowCollection:
    """Has the documents of even numbers, and fails queries with the errors that it is given."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.patience: list[float | None] = []
        """The seconds that each query had."""

    def find(self, query: dict[str, Any], _projection: object, *, batch_size: int) -> "SlowCollection":
        self._wanted = query["_id"]["$in"]
        assert batch_size > len(self._wanted)
        return self

    async def to_list(self) -> list[dict[str, Any]]:
        self.patience.append(_csot.get_timeout())
        if self.errors:
            raise self.errors.pop(0)
        return [{"_id": each} for each in self._wanted if int(each) % 2 == 0]


TIMEOUTS = [NetworkTimeout("timed out"), ExecutionTimeout("operation exceeded time limit", 50)]


@pytest.mark.parametrize("error", TIMEOUTS)
async def test_a_server_that_is_too_slow_gets_more_time_then_and_later(error: Exception) -> None:
    collection = SlowCollection(error, error)
    by_id = DocumentsById(cast("Any", collection), 1_000 * TIMEOUT_S)
    assert await by_id.found(IDS) == EVEN
    assert await by_id.found(IDS) == EVEN
    times = [TIMEOUT_S, LONGER * TIMEOUT_S, LONGER**2 * TIMEOUT_S, LONGER**2 * TIMEOUT_S]
    assert collection.patience == times


async def test_the_longest_time_is_the_last() -> None:
    collection = SlowCollection(*[NetworkTimeout("timed out")] * 2)
    with pytest.raises(NetworkTimeout):
        await DocumentsById(cast("Any", collection), 2 * TIMEOUT_S).found(IDS)
    assert collection.patience == [TIMEOUT_S, 2 * TIMEOUT_S]


@pytest.mark.parametrize("error", TIMEOUTS)
async def test_without_a_longest_time_the_bound_is_the_clients(error: Exception) -> None:
    collection = SlowCollection(error)
    by_id = DocumentsById(cast("Any", collection))
    with pytest.raises(type(error)):
        await by_id.found(IDS)
    assert await by_id.found(IDS) == EVEN
    assert collection.patience == [None, None]


async def test_a_lost_connection_is_no_slow_server() -> None:
    collection = SlowCollection(AutoReconnect("connection closed"))
    by_id = DocumentsById(cast("Any", collection), 1_000 * TIMEOUT_S)
    with pytest.raises(AutoReconnect):
        await by_id.found(IDS)
    assert await by_id.found(IDS) == EVEN
    assert collection.patience == [TIMEOUT_S, TIMEOUT_S]


@pytest.fixture
async def store(mongo_url: str) -> AsyncIterator[MongoMemberships]:
    opened = await MongoMemberships.open(mongo_url, timeout_s=PATIENCE_S)
    yield opened
    await opened.close()


async def test_an_import_reads_from_a_server_that_is_too_slow_at_first(
    store: MongoMemberships, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server gets a microsecond, so the real client gives up."""
    channels = [Channel(each, each, private=False, created_by="alice", created_at=CREATED) for each in ("a", "b")]
    await store.imports.create_channels(channels)
    by_id = store.imports._writer.channels_by_id
    monkeypatch.setattr(by_id, "_patience_s", 1e-6)
    assert await store.imports.missing_channels(["a", "b", "nowhere"]) == {"nowhere"}
    assert by_id._patience_s > 1e-6
    new = [NewMembership(each.channel_id, "bob", CREATED) for each in channels]
    monkeypatch.setattr(store.imports._writer._memberships_by_id, "_patience_s", 1e-6)
    assert await store.imports.add_memberships(new) == 2
    assert await store.imports.add_memberships(new) == 0
    assert unpack(await store.packed_channels_of("bob")) == ["a", "b"]


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (3, [3]), (4, [3, 1])])
def test_a_batch_has_so_many_at_most(count: int, sizes: list[int]) -> None:
    assert [len(batch) for batch in in_batches(range(count), 3)] == sizes
