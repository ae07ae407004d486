"""Readers of the log when their consumers are deleted, and what they leave behind."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from fanout.ports.log import Log
from fanout.streams import MESSAGES
from services.adapters.nats import NatsConnection, NatsLog, api
from services.adapters.nats.fencing import consumer_name
from services.adapters.nats.partition import NatsPartitionReader
from services.adapters.nats.tail import NatsTail
from services.adapters.nats.work_queue import NatsConsumer
from tests.support.nats import connected, open_log
from tests.support.reading import append_messages, collect
from tests.support.reading_through import SUITE, Outage
from tests.support.servers import NatsServer


@pytest.fixture
async def nc(nats_server: NatsServer) -> AsyncIterator[NatsConnection]:
    async with connected(nats_server.url) as connection:
        yield connection


@pytest.fixture
async def log(nc: NatsConnection) -> NatsLog:
    return await open_log(nc, 1)


async def _consumers(nc: NatsConnection) -> list[str]:
    return [info.name for info in await nc.jsm().consumers_info(MESSAGES)]


@pytest.mark.parametrize("reads", SUITE)
async def test_a_reader_whose_consumer_is_deleted(
    nc: NatsConnection, log: NatsLog, reads: Callable[[Log, Outage], Awaitable[None]]
) -> None:
    async def delete_consumers() -> None:
        for name in await _consumers(nc):
            await api.delete_consumer(nc, MESSAGES, name)  # its reader may be quicker

    await reads(log, delete_consumers)


async def test_one_consumer_is_left_however_often_it_changed_hands(nc: NatsConnection, log: NatsLog) -> None:
    for number in range(3):
        reader = await log.claim(MESSAGES, 0, f"worker-{number}")
        await reader.close()
    assert await _consumers(nc) == [consumer_name(0, reader.epoch)]


async def test_a_closed_tail_and_a_read_leave_no_consumer(nc: NatsConnection, log: NatsLog) -> None:
    await append_messages(log, "general", range(3))
    tail = await log.tail(MESSAGES, after=0)
    await collect(tail, 3)
    await tail.close()
    assert [event.seq async for event in log.read(MESSAGES, after=0, upto=2)] == [1, 2]
    assert await _consumers(nc) == []


async def test_a_closed_reader_leaves_no_subscription(nc: NatsConnection, log: NatsLog) -> None:
    before = set(nc._subs)
    readers: list[NatsTail | NatsPartitionReader | NatsConsumer] = [
        await log.tail(MESSAGES, after=0),
        await log.claim(MESSAGES, 0, "worker"),
        await log.consume(MESSAGES, "writer"),
    ]
    for reader in readers:
        await reader.close()
    assert set(nc._subs) == before
