import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from fanout.errors import PartitionLost, Unavailable
from fanout.streams import MESSAGE_WRITER, MESSAGES
from tests.simulation.links import SILENCE_S, Link
from tests.support.simulated import LogStage


def on_log(work: Callable[[LogStage], Awaitable[Any]], seed: int = 1) -> Any:
    """What comes of something that happens to an open log."""
    stage = LogStage(seed)

    async def live() -> Any:
        async with stage.opened():
            return await work(stage)

    return stage.run(live)


async def read_on(reader: Any, got: list[int]) -> None:
    while True:
        got.extend([event.seq for event in await reader.fetch()])


async def trouble(stage: LogStage, link: Link) -> None:
    """Break a link and stall it, while messages are stored."""
    for _ in range(6):
        await stage.append(3)
        link.cut()
        await stage.append(3)
        await asyncio.sleep(stage.draw.between(0.0, 1.0))
        link.repair()
        link.stall()
        await stage.append(2)
        await asyncio.sleep(stage.draw.between(0.0, 6.0))
        link.flow()
        await asyncio.sleep(stage.draw.between(0.0, 1.0))


@pytest.mark.parametrize("seed", range(5))
def test_a_tail_goes_on_after_each_broken_connection_with_no_event_lost_or_twice(seed: int) -> None:
    async def work(stage: LogStage) -> None:
        got: list[int] = []
        await stage.append(3)
        tail = await stage.at_client(stage.log.tail(MESSAGES, after=1))
        stage.client.start(read_on(tail, got), "reading")
        await trouble(stage, stage.link)
        await asyncio.sleep(10.0)
        assert got == stage.stored[1:]

    on_log(work, seed)


@pytest.mark.parametrize("seed", range(5))
def test_a_partition_reader_claims_again_after_each_broken_connection_and_gets_each_event_once(seed: int) -> None:
    async def work(stage: LogStage) -> None:
        got: list[int] = []
        reader = await stage.at_client(stage.log.claim(MESSAGES, 0, "worker1"))
        epoch = reader.epoch
        stage.client.start(read_on(reader, got), "reading")
        await trouble(stage, stage.link)
        await asyncio.sleep(10.0)
        assert got == stage.stored
        assert reader.epoch > epoch

    on_log(work, seed)


def test_the_claim_of_another_ends_a_reader() -> None:
    async def work(stage: LogStage) -> None:
        other = stage.host("other")
        others_log = stage.log_of(stage.link_of(other))
        reader = await stage.at_client(stage.log.claim(MESSAGES, 0, "worker1"))
        reading = stage.client.start(reader.fetch(), "reading")
        await asyncio.sleep(0.1)
        newer = await other.start(others_log.claim(MESSAGES, 0, "worker2"), "claiming")
        assert newer.epoch > reader.epoch
        await stage.append(1)
        with pytest.raises(PartitionLost):
            await reading
        assert [event.seq for event in await other.start(newer.fetch(), "reading")] == [1]

    on_log(work)


@pytest.mark.parametrize("reads", [True, False])
def test_a_reader_whose_partition_was_claimed_while_it_had_no_connection_does_not_take_it_back(*, reads: bool) -> None:
    async def work(stage: LogStage) -> None:
        other = stage.host("other")
        others_log = stage.log_of(stage.link_of(other))
        reader = await stage.at_client(stage.log.claim(MESSAGES, 0, "worker1"))
        reading = stage.client.start(reader.fetch(), "reading") if reads else None
        await asyncio.sleep(0.1)
        stage.link.cut()
        newer = await other.start(others_log.claim(MESSAGES, 0, "worker2"), "claiming")
        await asyncio.sleep(1.0)
        stage.link.repair()
        await stage.append(1)
        with pytest.raises(PartitionLost):
            await (reading or stage.at_client(reader.fetch()))
        assert [event.seq for event in await other.start(newer.fetch(), "reading")] == [1]

    on_log(work)


def test_the_next_reader_of_a_partition_begins_after_what_was_acknowledged() -> None:
    async def work(stage: LogStage) -> None:
        await stage.append(5)
        reader = await stage.at_client(stage.log.claim(MESSAGES, 0, "worker1"))
        await stage.at_client(reader.fetch())
        await stage.at_client(reader.ack(3))
        await asyncio.sleep(0.1)
        newer = await stage.at_client(stage.log.claim(MESSAGES, 0, "worker2"))
        assert newer.position == 3
        assert [event.seq for event in await stage.at_client(newer.fetch())] == [4, 5]

    on_log(work)


def test_what_was_acknowledged_without_a_connection_is_acknowledged_when_there_is_one() -> None:
    async def work(stage: LogStage) -> None:
        await stage.append(5)
        reader = await stage.at_client(stage.log.claim(MESSAGES, 0, "worker1"))
        await stage.at_client(reader.fetch())
        reading = stage.client.start(reader.fetch(), "reading")
        await asyncio.sleep(0.1)
        stage.link.cut()
        await asyncio.sleep(0.1)
        await stage.at_client(reader.ack(4))
        stage.link.repair()
        await asyncio.sleep(1.0)
        assert stage.server_log._partitions[MESSAGES, 0].position == 4
        reading.cancel()

    on_log(work)


def test_a_reader_knows_whether_it_has_caught_up_while_it_is_connected() -> None:
    async def work(stage: LogStage) -> None:
        await stage.append(2)
        reader = await stage.at_client(stage.log.claim(MESSAGES, 0, "worker1"))
        assert await stage.at_client(reader.caught_up()) is None
        await stage.at_client(reader.fetch())
        await stage.at_client(reader.ack(2))
        assert await stage.at_client(reader.caught_up()) == 2
        reading = stage.client.start(reader.fetch(), "reading")
        await asyncio.sleep(0.1)
        stage.link.cut()
        await asyncio.sleep(0.1)
        with pytest.raises(Unavailable):
            await stage.at_client(reader.caught_up())
        reading.cancel()

    on_log(work)


@pytest.mark.parametrize("seed", range(5))
def test_a_consumer_gets_each_event_at_least_once_whatever_breaks(seed: int) -> None:
    async def work(stage: LogStage) -> None:
        done: list[int] = []
        consumer = await stage.at_client(stage.log.consume(MESSAGES, MESSAGE_WRITER))

        async def handle() -> None:
            while True:
                events = await consumer.fetch()
                await asyncio.sleep(0.05)
                done.extend(event.seq for event in events)
                await consumer.ack(events)

        stage.client.start(handle(), "handling")
        await trouble(stage, stage.link)
        await asyncio.sleep(20.0)
        assert sorted(set(done)) == stage.stored
        before = len(done)
        await asyncio.sleep(20.0)
        assert len(done) == before

    on_log(work, seed)


def test_an_event_that_is_to_be_retried_comes_again_after_its_delay() -> None:
    async def work(stage: LogStage) -> None:
        await stage.append(1)
        consumer = await stage.at_client(stage.log.consume(MESSAGES, MESSAGE_WRITER))
        events = await stage.at_client(consumer.fetch())
        begin = stage.loop.time()
        await stage.at_client(consumer.retry(events, 2.0))
        again = await stage.at_client(consumer.fetch())
        assert [event.seq for event in again] == [1]
        assert again[0].delivery == 2
        assert 2.0 <= stage.loop.time() - begin < 2.5

    on_log(work)


def test_a_consumer_cannot_join_without_a_connection() -> None:
    async def work(stage: LogStage) -> None:
        stage.link.cut()
        with pytest.raises(Unavailable):
            await stage.at_client(stage.log.consume(MESSAGES, MESSAGE_WRITER))
        with pytest.raises(Unavailable):
            await stage.at_client(stage.log.tail(MESSAGES, after=0))
        with pytest.raises(Unavailable):
            await stage.at_client(stage.log.claim(MESSAGES, 0, "worker1"))

    on_log(work)


def test_a_fetch_that_was_cancelled_takes_nothing() -> None:
    async def work(stage: LogStage) -> None:
        got: list[int] = []
        cancelled = 0
        tail = await stage.at_client(stage.log.tail(MESSAGES, after=0))
        for _ in range(40):
            await stage.append(1)
            fetching = stage.client.start(tail.fetch(), "fetching")
            await asyncio.sleep(stage.draw.between(0.0, 0.02))
            fetching.cancel()
            await asyncio.sleep(0.001)
            got += [] if fetching.cancelled() else [event.seq for event in fetching.result()]
            cancelled += fetching.cancelled()
        reading = stage.client.start(read_on(tail, got), "reading")
        await asyncio.sleep(1.0)
        reading.cancel()
        assert 0 < cancelled < 40
        assert got == stage.stored

    on_log(work)


def test_a_server_that_stands_still_holds_a_reader_up_and_no_more() -> None:
    async def work(stage: LogStage) -> None:
        got: list[int] = []
        tail = await stage.at_client(stage.log.tail(MESSAGES, after=0))
        stage.client.start(read_on(tail, got), "reading")
        await stage.append(1)
        await asyncio.sleep(1.0)
        stage.loop.pause(stage.server)
        await asyncio.sleep(2 * SILENCE_S)
        stage.loop.resume(stage.server)
        await stage.append(2)
        await asyncio.sleep(10.0)
        assert got == [1, 2, 3]

    on_log(work)


def test_a_closed_reader_is_closed_at_the_server() -> None:
    async def work(stage: LogStage) -> None:
        await stage.append(1)
        tail = await stage.at_client(stage.log.tail(MESSAGES, after=0))
        await stage.at_client(tail.fetch())
        remote = tail._remote
        await stage.at_client(tail.close())
        await asyncio.sleep(0.1)
        with pytest.raises(Unavailable, match="closed"):
            await stage.at_server(partial(remote.fetch))

    on_log(work)
