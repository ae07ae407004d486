"""The publisher: everything routed is published once, in order, and `settle` returns after that."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fanout import Engine, decode_batch
from services.fan_out import publisher as publisher_module
from services.fan_out.publisher import Publisher
from services.runtime import tasks as tasks_module
from services.runtime.tasks import Tasks
from tests.support.faulty import FaultyBus
from tests.support.observing import until


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_module, "FIRST_DELAY_S", 0.001)
    monkeypatch.setattr(tasks_module, "LONGEST_DELAY_S", 0.002)


@pytest.fixture
def engine() -> Engine:
    engine = Engine(flush_interval=0.001)
    engine.user_online("alice", "notif-1", ["general"])
    engine.user_online("bob", "notif-2", ["general"])
    return engine


@pytest.fixture
def bus() -> FaultyBus:
    return FaultyBus()


@pytest.fixture
async def publisher(engine: Engine, bus: FaultyBus) -> AsyncIterator[Publisher]:
    failures: list[BaseException] = []
    async with Tasks(failures.append) as tasks:
        publisher = Publisher(engine, bus)
        tasks.start(publisher.run(), "publisher")
        yield publisher
    assert not failures


def _route(engine: Engine, *numbers: int) -> None:
    for number in numbers:
        engine.route("general", b'{"n":%d}' % number)


def _got(bus: FaultyBus, instance: str) -> list[bytes]:
    subject = f"instance.events.{instance}"
    return [record.event for to, payload in bus.published if to == subject for record in decode_batch(payload)]


async def test_what_was_routed_before_is_on_the_bus_when_settle_returns(
    publisher: Publisher, engine: Engine, bus: FaultyBus
) -> None:
    _route(engine, 1, 2)
    await publisher.settle()
    for instance in ("notif-1", "notif-2"):
        assert _got(bus, instance) == [b'{"n":1}', b'{"n":2}']


async def test_settle_returns_at_once_where_nothing_waits(publisher: Publisher, bus: FaultyBus) -> None:
    await publisher.settle()
    assert bus.published == []


async def test_a_poke_publishes_what_is_due_without_anyone_waiting(
    publisher: Publisher, engine: Engine, bus: FaultyBus
) -> None:
    _route(engine, 1)
    publisher.poke()
    await until(lambda: len(bus.published) == 2)


async def test_events_keep_their_order_while_the_bus_takes_its_time(
    publisher: Publisher, engine: Engine, bus: FaultyBus
) -> None:
    bus.blocked = True
    _route(engine, 0)
    settled = [asyncio.create_task(publisher.settle())]
    await until(lambda: bus.offered == 1)
    for number in range(1, 50):
        _route(engine, number)
        settled.append(asyncio.create_task(publisher.settle()))
    await asyncio.sleep(0)
    assert not any(task.done() for task in settled)
    bus.blocked = False
    await asyncio.gather(*settled)
    assert _got(bus, "notif-1") == [b'{"n":%d}' % number for number in range(50)]


async def test_a_batch_that_the_bus_refused_is_published_again_before_anything_newer(
    publisher: Publisher, engine: Engine, bus: FaultyBus
) -> None:
    bus.down = True
    _route(engine, 1)
    first = asyncio.create_task(publisher.settle())
    await until(lambda: bus.offered >= 3)
    _route(engine, 2)
    second = asyncio.create_task(publisher.settle())
    await asyncio.sleep(0)
    assert not first.done()
    bus.down = False
    await asyncio.gather(first, second)
    assert _got(bus, "notif-2") == [b'{"n":1}', b'{"n":2}']


async def test_one_who_gave_up_waiting_holds_up_nobody(publisher: Publisher, engine: Engine, bus: FaultyBus) -> None:
    bus.blocked = True
    _route(engine, 1)
    gave_up, waits = asyncio.create_task(publisher.settle()), asyncio.create_task(publisher.settle())
    await until(lambda: bus.offered == 1)
    gave_up.cancel()
    bus.blocked = False
    await waits
    assert _got(bus, "notif-1") == [b'{"n":1}']


async def test_a_batch_on_its_way_is_no_congestion(publisher: Publisher, engine: Engine, bus: FaultyBus) -> None:
    bus.blocked = True
    _route(engine, 1)
    publisher.poke()
    await until(lambda: bus.offered == 1)
    assert not publisher.congested
    bus.blocked = False


async def test_a_bus_that_refuses_is_congestion_until_it_takes_something(
    publisher: Publisher, engine: Engine, bus: FaultyBus
) -> None:
    bus.down = True
    _route(engine, 1)
    publisher.poke()
    await until(lambda: publisher.congested)
    bus.down = False
    await until(lambda: not publisher.congested)


async def test_more_that_waits_than_may_is_congestion_until_it_is_on_its_way(
    publisher: Publisher, engine: Engine, bus: FaultyBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "MOST_WAITING_BYTES", 1_000)
    bus.blocked = True
    _route(engine, 1)
    publisher.poke()
    await until(lambda: bus.offered == 1)
    _route(engine, *range(2, 60))
    assert publisher.congested
    bus.blocked = False
    await publisher.settle()
    assert not publisher.congested
