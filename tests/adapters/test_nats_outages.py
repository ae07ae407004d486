"""Readers of the log over real outages: nothing lost, and no order broken."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from fanout import subjects
from fanout.errors import PartitionLost, Unavailable
from fanout.ports.log import StoredEvent
from fanout.streams import MESSAGES
from services.adapters.nats import NatsConnection, NatsLog, api
from services.adapters.nats.fencing import consumer_name
from services.adapters.nats.partition import NatsPartitionReader
from services.adapters.nats.tail import NatsTail
from services.adapters.nats.work_queue import NatsConsumer
from tests.support.nats import connected, open_log
from tests.support.reading import PATIENCE_S, collect, payloads, soon
from tests.support.servers import NatsServer

_BEFORE, _IN_ALL = 300, 600


@pytest.fixture
async def nc(nats_server: NatsServer) -> AsyncIterator[NatsConnection]:
    async with connected(nats_server.url) as connection:
        yield connection


@pytest.fixture
async def log(nc: NatsConnection) -> NatsLog:
    return await open_log(nc, 1)


async def _append(log: NatsLog, numbers: range) -> None:
    """Append each number once, however often it takes to get an answer."""
    for number in numbers:
        await _insist(log, number)


async def _insist(log: NatsLog, number: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await log.append(subjects.message("general"), str(number).encode(), msg_id=str(number))
            except Unavailable:
                await asyncio.sleep(0.02)
            else:
                return


async def _consumers(nc: NatsConnection) -> list[str]:
    return [info.name for info in await nc.jsm().consumers_info(MESSAGES)]


Outage = Callable[[NatsServer, NatsConnection], Awaitable[None]]


async def _restart(server: NatsServer, _: NatsConnection) -> None:
    await asyncio.to_thread(server.restart)


async def _stop_and_start(server: NatsServer, _: NatsConnection) -> None:
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)


async def _freeze(server: NatsServer, _: NatsConnection) -> None:
    server.pause()
    await asyncio.sleep(1)  # several heartbeats
    server.resume()


async def _delete_consumers(_: NatsServer, nc: NatsConnection) -> None:
    for name in await _consumers(nc):
        await api.delete_consumer(nc, MESSAGES, name)  # its reader may be quicker


async def _drop_the_connection(_: NatsServer, nc: NatsConnection) -> None:
    await nc.force_reconnect()


_OUTAGES = pytest.mark.parametrize(
    "outage", [_restart, _stop_and_start, _freeze, _delete_consumers, _drop_the_connection]
)


@_OUTAGES
class TestOutages:
    async def test_a_consumer_gets_everything(
        self, nats_server: NatsServer, nc: NatsConnection, log: NatsLog, outage: Outage
    ) -> None:
        consumer = await log.consume(MESSAGES, "writer", batch=50)
        seen: set[int] = set()

        async def work() -> None:
            while len(seen) < _IN_ALL:
                events = await consumer.fetch()
                seen.update(payloads(events))
                await consumer.ack(events)

        working = asyncio.create_task(work())
        await _append(log, range(_BEFORE))
        await outage(nats_server, nc)
        await _append(log, range(_BEFORE, _IN_ALL))
        await soon(working)
        assert seen == set(range(_IN_ALL))
        await consumer.close()

    async def test_an_idle_consumer_hears_the_next_event(
        self, nats_server: NatsServer, nc: NatsConnection, log: NatsLog, outage: Outage
    ) -> None:
        consumer = await log.consume(MESSAGES, "writer")
        waiting = asyncio.create_task(consumer.fetch())
        await asyncio.sleep(0)
        await outage(nats_server, nc)
        await _insist(log, 7)
        assert payloads(await soon(waiting)) == [7]
        await consumer.close()

    async def test_a_tail_gets_everything_once_and_in_order(
        self, nats_server: NatsServer, nc: NatsConnection, log: NatsLog, outage: Outage
    ) -> None:
        tail = await log.tail(MESSAGES, after=0)
        reading = asyncio.create_task(collect(tail, _IN_ALL))
        await _append(log, range(_BEFORE))
        await outage(nats_server, nc)
        await _append(log, range(_BEFORE, _IN_ALL))
        assert payloads(await soon(reading)) == list(range(_IN_ALL))
        await tail.close()

    async def test_a_partition_gets_everything_once_and_in_order(
        self, nats_server: NatsServer, nc: NatsConnection, log: NatsLog, outage: Outage
    ) -> None:
        reader = await log.claim(MESSAGES, 0, "worker")
        seen: list[StoredEvent] = []

        async def work() -> None:
            while len(seen) < _IN_ALL:
                events = await reader.fetch()
                seen.extend(events)
                await reader.ack(events[len(events) // 2].seq)

        working = asyncio.create_task(work())
        await _append(log, range(_BEFORE))
        await outage(nats_server, nc)
        await _append(log, range(_BEFORE, _IN_ALL))
        await soon(working)
        assert payloads(seen) == list(range(_IN_ALL))
        await reader.ack(seen[-1].seq)
        await reader.close()
        successor = await log.claim(MESSAGES, 0, "successor")
        assert successor.position == _IN_ALL
        assert successor.epoch > reader.epoch
        await successor.close()


class TestPartition:
    async def test_a_claim_during_an_outage_of_the_reader_holds(self, nats_server: NatsServer, log: NatsLog) -> None:
        await _append(log, range(5))
        async with connected(nats_server.url) as elsewhere:
            reader = await (await open_log(elsewhere, 1)).claim(MESSAGES, 0, "worker-1")
            await reader.ack((await collect(reader, 5))[2].seq)
            await elsewhere.force_reconnect()
            successor = await log.claim(MESSAGES, 0, "worker-2")
            with pytest.raises(PartitionLost):
                await soon(reader.fetch())
            await reader.close()
        assert successor.position <= 3
        assert payloads(await collect(successor, 2))[-1] == 4
        await successor.close()

    async def test_what_was_handed_out_stays_unacknowledged_over_a_restart(
        self, nats_server: NatsServer, nc: NatsConnection, log: NatsLog
    ) -> None:
        await _append(log, range(4))
        claimed = (reader := await log.claim(MESSAGES, 0, "worker")).epoch
        events = await collect(reader, 4)
        await reader.ack(events[0].seq)
        await _restart(nats_server, nc)
        await _insist(log, 4)
        assert payloads(await collect(reader, 1)) == [4]
        assert reader.epoch > claimed
        assert await reader.caught_up() is None
        await reader.close()
        successor = await log.claim(MESSAGES, 0, "successor")
        assert payloads(await collect(successor, 4)) == [1, 2, 3, 4]
        await successor.close()

    async def test_one_consumer_is_left_however_often_it_changed_hands(self, nc: NatsConnection, log: NatsLog) -> None:
        for number in range(3):
            reader = await log.claim(MESSAGES, 0, f"worker-{number}")
            await reader.close()
        assert await _consumers(nc) == [consumer_name(0, reader.epoch)]


class TestLeftovers:
    async def test_a_closed_tail_and_a_read_leave_no_consumer(self, nc: NatsConnection, log: NatsLog) -> None:
        await _append(log, range(3))
        tail = await log.tail(MESSAGES, after=0)
        await collect(tail, 3)
        await tail.close()
        assert [event.seq async for event in log.read(MESSAGES, after=0, upto=2)] == [1, 2]
        assert await _consumers(nc) == []

    async def test_a_closed_reader_leaves_no_subscription(self, nc: NatsConnection, log: NatsLog) -> None:
        before = set(nc._subs)
        readers: list[NatsTail | NatsPartitionReader | NatsConsumer] = [
            await log.tail(MESSAGES, after=0),
            await log.claim(MESSAGES, 0, "worker"),
            await log.consume(MESSAGES, "writer"),
        ]
        for reader in readers:
            await reader.close()
        assert set(nc._subs) == before

    async def test_closing_while_down_is_quick_and_quiet(
        self, nats_server: NatsServer, nc: NatsConnection, log: NatsLog
    ) -> None:
        await _append(log, range(3))
        readers: list[NatsTail | NatsPartitionReader | NatsConsumer] = [
            await log.tail(MESSAGES, after=0),
            await log.claim(MESSAGES, 0, "worker"),
            await log.consume(MESSAGES, "writer"),
        ]
        for reader in readers:
            await collect(reader, 3)
        nats_server.kill()
        for reader in readers:
            await soon(reader.close())
