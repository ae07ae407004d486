"""What each reader of the log is given over an outage: nothing lost, and no order broken."""

import asyncio
from collections.abc import Awaitable, Callable

from fanout.ports.log import Log, StoredEvent
from fanout.streams import MESSAGES
from tests.support.log_worlds import again
from tests.support.reading import collect, payloads, soon

Outage = Callable[[], Awaitable[None]]

_BEFORE, _IN_ALL = 300, 600


async def consumer_gets_everything(log: Log, outage: Outage) -> None:
    consumer = await log.consume(MESSAGES, "writer", batch=50)
    seen: set[int] = set()

    async def work() -> None:
        while len(seen) < _IN_ALL:
            events = await consumer.fetch()
            seen.update(payloads(events))
            await consumer.ack(events)

    await _read_through(log, outage, work())
    assert seen == set(range(_IN_ALL))
    await consumer.close()


async def idle_consumer_hears_the_next_event(log: Log, outage: Outage) -> None:
    consumer = await log.consume(MESSAGES, "writer")
    waiting = asyncio.create_task(consumer.fetch())
    await asyncio.sleep(0)
    await outage()
    await soon(again(log, range(7, 8)))
    assert payloads(await soon(waiting)) == [7]
    await consumer.close()


async def tail_gets_everything_once_and_in_order(log: Log, outage: Outage) -> None:
    tail = await log.tail(MESSAGES, after=0)
    seen: list[StoredEvent] = []

    async def work() -> None:
        seen.extend(await collect(tail, _IN_ALL))

    await _read_through(log, outage, work())
    assert payloads(seen) == list(range(_IN_ALL))
    await tail.close()


async def partition_gets_everything_once_and_in_order(log: Log, outage: Outage) -> None:
    reader = await log.claim(MESSAGES, 0, "worker")
    seen: list[StoredEvent] = []

    async def work() -> None:
        while len(seen) < _IN_ALL:
            events = await reader.fetch()
            seen.extend(events)
            await reader.ack(events[len(events) // 2].seq)

    await _read_through(log, outage, work())
    assert payloads(seen) == list(range(_IN_ALL))
    await reader.ack(seen[-1].seq)
    await reader.close()
    successor = await log.claim(MESSAGES, 0, "successor")
    assert successor.position == _IN_ALL
    assert successor.epoch > reader.epoch
    await successor.close()


SUITE = (
    consumer_gets_everything,
    idle_consumer_hears_the_next_event,
    tail_gets_everything_once_and_in_order,
    partition_gets_everything_once_and_in_order,
)


async def _read_through(log: Log, outage: Outage, work: Awaitable[None]) -> None:
    reading = asyncio.ensure_future(work)
    await soon(again(log, range(_BEFORE)))
    await outage()
    await soon(again(log, range(_BEFORE, _IN_ALL)))
    await soon(reading)
