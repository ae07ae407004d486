"""What the bus takes in one message bounds batches, presence sets and confirmations, also when it changes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from fanout import Unavailable
from fanout.events import MAX_BATCH, MIN_BATCH
from fanout.workers import MAX_USERS, user_pages
from services.fan_out.metrics import BATCHES_TOO_LARGE
from tests.support.harness import Harness, running_harness
from tests.support.observing import until

SMALL = 16_384


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    async with running_harness(tmp_path) as built:
        yield built


async def test_batches_are_cut_by_the_limit_of_the_bus(harness: Harness) -> None:
    harness.bus.limit = SMALL
    await harness.create("general", "alice")
    instance = await harness.add_instance("notif-1")
    alice = await harness.connect(instance, "alice")
    waiting = [f"{number} {'x' * 3_000}" for number in range(60)]
    for text in waiting:
        await harness.say("general", text)
    await harness.add_worker("worker-1")
    await until(lambda: alice.texts() == waiting, "all that waited, in order")


async def test_an_event_beyond_the_limit_is_a_dead_letter_with_its_reason_and_the_rest_goes_on(
    harness: Harness,
) -> None:
    harness.bus.limit = SMALL
    await harness.create("general", "alice")
    await harness.add_worker("worker-1")
    instance = await harness.add_instance("notif-1")
    alice = await harness.connect(instance, "alice")
    await harness.say("general", "before")
    await harness.say("general", "x" * SMALL)
    await harness.say("general", "after")
    await until(lambda: alice.texts() == ["before", "after"])
    [dead] = [event async for event in harness.log.read("DEAD", after=0, upto=100)]
    assert dead.subject == "dead.MESSAGES.general"


async def test_what_was_routed_before_the_limit_fell_arrives_by_way_of_the_log(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await harness.create("general", "alice")
    await harness.add_worker("worker-1")
    await harness.settle_partitions()
    instance = await harness.add_instance("notif-1")
    alice = await harness.connect(instance, "alice")
    await harness.say("general", "before")
    await until(lambda: alice.texts() == ["before"])
    publish_many, dropped = harness.bus.publish_many, BATCHES_TOO_LARGE._value.get()

    async def lost_connection(messages: Sequence[tuple[str, bytes]]) -> None:
        if any(len(payload) > SMALL for _, payload in messages) and harness.bus.limit > SMALL:
            harness.bus.limit = SMALL
            raise Unavailable("the connection was lost, and the next server takes less")
        await publish_many(messages)

    monkeypatch.setattr(harness.bus, "publish_many", lost_connection)
    texts = [f"{number} {'x' * 3_000}" for number in range(200)]
    await asyncio.gather(*(harness.say("general", text) for text in texts))
    await until(lambda: sorted(alice.texts()) == sorted(["before", *texts]), "all, once")
    assert BATCHES_TOO_LARGE._value.get() > dropped


def test_pages_of_users_fit_whatever_their_names() -> None:
    users = [f"{number:0128}" for number in range(10_000)]
    for limit in (MIN_BATCH, SMALL, MAX_BATCH):
        pages = list(user_pages(users, limit))
        assert [user for page in pages for user in page] == users
        assert max(sum(len(user) + 3 for user in page) for page in pages) < limit - 600
        assert max(map(len, pages)) <= MAX_USERS
    assert list(user_pages([], MAX_BATCH)) == []
