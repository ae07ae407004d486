"""The contract of `fanout.ports.log.Log.acknowledged`, held by every adapter."""

import asyncio

from fanout.ports.log import Log
from fanout.streams import MESSAGES, META
from tests.support.reading import append_messages, collect, until


async def _acknowledged_reaches(log: Log, seq: int) -> None:
    """An acknowledgement is on its way for a moment."""

    async def reached() -> bool | None:
        acknowledged = await log.acknowledged(MESSAGES, "writer")
        assert acknowledged <= seq
        return acknowledged == seq or None

    await until(reached)


async def test_is_zero_where_nobody_has_read_and_the_end_of_an_empty_stream(log: Log) -> None:
    assert await log.acknowledged(MESSAGES, "writer") == 0
    await append_messages(log, "general", range(3))
    assert await log.acknowledged(MESSAGES, "writer") == 0
    await (await log.consume(MESSAGES, "writer")).close()
    assert await log.acknowledged(MESSAGES, "writer") == 0


async def test_is_just_below_the_first_event_that_is_not_acknowledged(log: Log) -> None:
    await append_messages(log, "general", range(5))
    consumer = await log.consume(MESSAGES, "writer")
    events = await collect(consumer, 5)
    assert await log.acknowledged(MESSAGES, "writer") == 0
    await consumer.ack([events[0], events[1], events[3]])
    await _acknowledged_reaches(log, 2)
    await consumer.ack([events[2]])
    await _acknowledged_reaches(log, 4)
    await consumer.ack([events[4]])
    await _acknowledged_reaches(log, 5)
    await consumer.close()


async def test_never_counts_an_event_that_was_appended_before_and_is_not_acknowledged(log: Log) -> None:
    """A reader hears of an event a moment after the stream counts it."""
    consumer = await log.consume(MESSAGES, "writer")
    for number in range(200):
        [seq] = await append_messages(log, "general", [number])
        assert await log.acknowledged(MESSAGES, "writer") < seq
        await consumer.ack(await collect(consumer, 1))
        await _acknowledged_reaches(log, seq)
    await consumer.close()


async def test_an_event_that_comes_again_is_not_acknowledged(log: Log) -> None:
    await append_messages(log, "general", range(2))
    consumer = await log.consume(MESSAGES, "writer")
    events = await collect(consumer, 2)
    await consumer.ack(events[1:])
    await consumer.retry(events[:1], 3600)
    await asyncio.sleep(0.1)
    assert await log.acknowledged(MESSAGES, "writer") == 0
    await consumer.close()


async def test_each_durable_and_each_stream_has_its_own(log: Log) -> None:
    await append_messages(log, "general", range(2))
    consumer = await log.consume(MESSAGES, "writer")
    await consumer.ack(await collect(consumer, 2))
    await _acknowledged_reaches(log, 2)
    assert await log.acknowledged(MESSAGES, "evaluator") == 0
    assert await log.acknowledged(META, "writer") == 0
    await consumer.close()
    assert await log.acknowledged(MESSAGES, "writer") == 2
