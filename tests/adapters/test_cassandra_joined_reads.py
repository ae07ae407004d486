"""Identical reads that are joined."""

import asyncio
from collections import Counter

import pytest

from fanout.errors import Unavailable
from services.adapters.cassandra.joined_reads import JoinedReads


class Store:
    """A store whose reads end when the test says so, and return what is stored when they begin."""

    def __init__(self) -> None:
        self.stored = 0
        self.begun: Counter[str] = Counter()
        self.may_end = asyncio.Event()
        self.error: Exception | None = None
        self.reads = JoinedReads(self.read)

    async def read(self, key: str) -> int:
        self.begun[key] += 1
        found = self.stored
        await self.may_end.wait()
        if self.error is not None:
            raise self.error
        return found

    async def ask(self, key: str) -> "asyncio.Task[int]":
        task = asyncio.create_task(self.reads.get(key))
        for _ in range(3):
            await asyncio.sleep(0)
        return task


async def test_thousands_of_identical_reads_are_two() -> None:
    store = Store()
    tasks = [await store.ask("general") for _ in range(1_000)]
    store.may_end.set()
    await asyncio.gather(*tasks)
    assert store.begun == {"general": 2}


async def test_a_read_begins_after_the_call_that_gets_its_result() -> None:
    store = Store()
    before = await store.ask("general")
    store.stored = 7
    after = [await store.ask("general") for _ in range(3)]
    store.may_end.set()
    assert await before == 0
    assert await asyncio.gather(*after) == [7, 7, 7]


async def test_different_reads_are_not_joined_and_do_not_wait() -> None:
    store = Store()
    tasks = [await store.ask("general"), await store.ask("random")]
    assert store.begun == {"general": 1, "random": 1}
    store.may_end.set()
    await asyncio.gather(*tasks)


async def test_a_read_that_is_over_is_not_given_again() -> None:
    store = Store()
    store.may_end.set()
    for stored in range(3):
        store.stored = stored
        assert await store.reads.get("general") == stored


async def test_a_cancelled_call_leaves_the_read_to_the_others() -> None:
    store = Store()
    first, second = await store.ask("general"), await store.ask("general")
    first.cancel()
    store.may_end.set()
    assert await second == 0


async def test_an_error_reaches_every_call_and_ends_with_it() -> None:
    store = Store()
    store.error = Unavailable("away")
    tasks = [await store.ask("general") for _ in range(3)]
    store.may_end.set()
    for task in tasks:
        with pytest.raises(Unavailable):
            await task
    store.error = None
    assert await store.reads.get("general") == 0
