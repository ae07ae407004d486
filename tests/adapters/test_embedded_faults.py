"""Faults on demand: each shows what it promises, and nothing is lost by any of them."""

import asyncio
from collections import Counter

from fanout.streams import MESSAGES
from services.adapters.embedded.faults import FaultInjection
from services.adapters.embedded.log import EmbeddedLog

COUNT = 200


async def _log_with(faults: FaultInjection, ack_wait: float = 30.0) -> EmbeddedLog:
    log = await EmbeddedLog.open(None, faults=faults, ack_wait=ack_wait)
    await asyncio.gather(*(log.append("messages.send.general", b"", msg_id=str(n)) for n in range(COUNT)))
    return log


async def _deliveries(log: EmbeddedLog) -> Counter[int]:
    """How often each event was delivered until all were acknowledged for good."""
    deliveries: Counter[int] = Counter()
    consumer = await log.consume(MESSAGES, "writer", batch=50)
    queue = log._queues[MESSAGES, "writer"]
    async with asyncio.timeout(20):
        while queue.floor < COUNT:
            events = await consumer.fetch()
            deliveries.update(event.seq for event in events)
            await consumer.ack(events)
    await log.close()
    return deliveries


async def test_without_faults_each_event_comes_once() -> None:
    deliveries = await _deliveries(await _log_with(FaultInjection()))
    assert deliveries == Counter(range(1, COUNT + 1))


async def test_redelivered_events_come_again_after_they_were_acknowledged() -> None:
    deliveries = await _deliveries(await _log_with(FaultInjection(redeliver=0.3)))
    assert set(deliveries) == set(range(1, COUNT + 1))
    assert max(deliveries.values()) > 1


async def test_a_lost_acknowledgement_brings_the_event_again() -> None:
    deliveries = await _deliveries(await _log_with(FaultInjection(lose_ack=0.3), ack_wait=0.02))
    assert set(deliveries) == set(range(1, COUNT + 1))
    assert max(deliveries.values()) > 1


async def test_an_event_can_stand_in_its_batch_twice() -> None:
    log = await _log_with(FaultInjection(duplicate=0.5))
    consumer = await log.consume(MESSAGES, "writer", batch=2 * COUNT)
    batch = Counter(event.seq for event in await consumer.fetch())
    await log.close()
    assert set(batch) == set(range(1, COUNT + 1))
    assert 2 in batch.values()


async def test_a_batch_is_never_larger_than_it_may_be() -> None:
    log = await _log_with(FaultInjection(duplicate=0.9))
    consumer = await log.consume(MESSAGES, "writer", batch=60)
    batches = [await consumer.fetch() for _ in range(3)]
    await log.close()
    assert max(map(len, batches)) <= 60


async def test_the_same_seed_gives_the_same_faults() -> None:
    faults = {"redeliver": 0.2, "duplicate": 0.2}
    first = await _deliveries(await _log_with(FaultInjection(seed=7, **faults)))
    again = await _deliveries(await _log_with(FaultInjection(seed=7, **faults)))
    other = await _deliveries(await _log_with(FaultInjection(seed=8, **faults)))
    assert first == again
    assert first != other


async def test_tails_and_partition_readers_are_only_delayed() -> None:
    log = await _log_with(FaultInjection(redeliver=0.5, duplicate=0.5, lose_ack=0.5, delay=1.0, longest_delay=0.001))
    tail, reader = await log.tail(MESSAGES, after=0), await log.claim(MESSAGES, 0, "worker")
    assert [event.seq for event in await tail.fetch()] == list(range(1, COUNT + 1))
    assert [event.seq for event in await reader.fetch()] == list(range(1, COUNT + 1))
    await log.close()
