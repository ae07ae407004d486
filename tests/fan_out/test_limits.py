"""What the bus takes in one message bounds batches, presence sets and confirmations, also when it changes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from fanout import Unavailable
from fanout.events import MAX_BATCH, MIN_BATCH
from fanout.workers import MAX_USERS, user_pages
from services.fan_out.metrics import BATCHES_TOO_LARGE
from tests.support.observing import until
from tests.support.platform import Platform, platform

SMALL = 16_384


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Platform]:
    async with platform(tmp_path) as built:
        yield built


async def test_batches_are_cut_by_the_limit_of_the_bus(house: Platform) -> None:
    house.bus.limit = SMALL
    await house.create("general", "alice")
    instance = await house.add_instance("notif-1")
    alice = await house.connect(instance, "alice")
    waiting = [f"{number} {'x' * 3_000}" for number in range(60)]
    for text in waiting:
        await house.say("general", text)
    await house.add_worker("worker-1")
    await until(lambda: alice.texts() == waiting, "all that waited, in order")


async def test_an_event_beyond_the_limit_is_a_dead_letter_with_its_reason_and_the_rest_goes_on(house: Platform) -> None:
    house.bus.limit = SMALL
    await house.create("general", "alice")
    await house.add_worker("worker-1")
    instance = await house.add_instance("notif-1")
    alice = await house.connect(instance, "alice")
    await house.say("general", "before")
    await house.say("general", "x" * SMALL)
    await house.say("general", "after")
    await until(lambda: alice.texts() == ["before", "after"])
    [dead] = [event async for event in house.log.read("DEAD", after=0, upto=100)]
    assert dead.subject == "dead.MESSAGES.general"


async def test_what_was_routed_before_the_limit_fell_arrives_by_way_of_the_log(
    house: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.create("general", "alice")
    await house.add_worker("worker-1")
    await house.settle_partitions()
    instance = await house.add_instance("notif-1")
    alice = await house.connect(instance, "alice")
    await house.say("general", "before")
    await until(lambda: alice.texts() == ["before"])
    publish_many, dropped = house.bus.publish_many, BATCHES_TOO_LARGE._value.get()

    async def lost_connection(messages: Sequence[tuple[str, bytes]]) -> None:
        if any(len(payload) > SMALL for _, payload in messages) and house.bus.limit > SMALL:
            house.bus.limit = SMALL
            raise Unavailable("the connection was lost, and the next server takes less")
        await publish_many(messages)

    monkeypatch.setattr(house.bus, "publish_many", lost_connection)
    texts = [f"{number} {'x' * 3_000}" for number in range(200)]
    await asyncio.gather(*(house.say("general", text) for text in texts))
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
