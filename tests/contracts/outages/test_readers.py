"""Readers of the log over outages, real and simulated: nothing lost, and no order broken."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fanout.errors import PartitionLost
from fanout.ports.log import Log
from fanout.streams import MESSAGES
from services.runtime.tasks import retry_forever
from tests.support.log_worlds import again
from tests.support.outage_worlds import LogWorld, SimulatedWorld
from tests.support.reading import append_messages, collect, payloads, soon
from tests.support.reading_through import SUITE, Outage

World = LogWorld[Any]


@pytest.mark.parametrize("outage", ["restart", "freeze", "break_connections"])
@pytest.mark.parametrize("reads", SUITE)
async def test_a_reader(world: World, reads: Callable[[Log, Outage], Awaitable[None]], outage: str) -> None:
    log, _, _ = await world.process()
    await reads(log, getattr(world, outage))


async def test_a_claim_during_an_outage_of_the_reader_holds(world: World) -> None:
    log, _, _ = await world.process()
    await append_messages(log, "general", range(5))
    elsewhere = await world.process()
    reader = await elsewhere.log.claim(MESSAGES, 0, "worker-1")
    await reader.ack((await collect(reader, 5))[2].seq)
    await world.break_connection(elsewhere)
    successor = await log.claim(MESSAGES, 0, "worker-2")
    with pytest.raises(PartitionLost):
        await soon(reader.fetch())
    await reader.close()
    assert successor.position <= 3
    assert payloads(await collect(successor, 2))[-1] == 4
    await successor.close()


async def test_what_was_handed_out_stays_unacknowledged_over_a_restart(world: World) -> None:
    log, _, _ = await world.process()
    await append_messages(log, "general", range(4))
    claimed = (reader := await log.claim(MESSAGES, 0, "worker")).epoch
    events = await collect(reader, 4)
    await reader.ack(events[0].seq)
    await world.restart()
    await soon(again(log, range(4, 5)))
    assert payloads(await collect(reader, 1)) == [4]
    assert reader.epoch > claimed
    assert await reader.caught_up() is None
    await reader.close()
    successor = await log.claim(MESSAGES, 0, "successor")
    assert payloads(await collect(successor, 4)) == [1, 2, 3, 4]
    await successor.close()


async def test_what_was_acknowledged_just_before_a_crash_may_come_again(world: World) -> None:
    """nats-server writes acknowledgements down a moment later than it takes them."""
    log, bus, _ = await world.process()
    stored = await append_messages(log, "general", range(100))
    reader, consumer = await log.claim(MESSAGES, 0, "worker"), await log.consume(MESSAGES, "writer")
    await collect(reader, 100)
    await consumer.ack(await collect(consumer, 100))
    await reader.ack(stored[-1])
    await bus.ping()
    await world.restart()
    await world.answers()
    successor = await retry_forever(lambda: log.claim(MESSAGES, 0, "successor"), "claiming")
    acknowledged = await retry_forever(lambda: log.acknowledged(MESSAGES, "writer"), "asking")
    if isinstance(world, SimulatedWorld):  # the real one loses them mostly
        assert successor.position < stored[-1]
        assert acknowledged < stored[-1]
    await again(log, range(100, 101))
    expected = [*(number for number in range(100) if stored[number] > successor.position), 100]
    assert payloads(await collect(successor, len(expected))) == expected
    await collect(consumer, 1 + sum(seq > acknowledged for seq in stored))


async def test_closing_while_down_is_quick_and_quiet(world: World) -> None:
    log, _, _ = await world.process()
    await append_messages(log, "general", range(3))
    readers: list[Any] = [
        await log.tail(MESSAGES, after=0),
        await log.claim(MESSAGES, 0, "worker"),
        await log.consume(MESSAGES, "writer"),
    ]
    for reader in readers:
        await collect(reader, 3)
    await world.kill()
    for reader in readers:
        await soon(reader.close())
    await world.start()
    await world.answers()


async def test_events_of_a_worker_that_died_go_to_another_after_the_ack_wait(world: World) -> None:
    log, _, _ = await world.process()
    await append_messages(log, "general", range(3))
    elsewhere = await world.process()
    dying = await elsewhere.log.consume(MESSAGES, "writer")
    await collect(dying, 3)
    await world.disconnect(elsewhere)
    other = await log.consume(MESSAGES, "writer")
    events = await collect(other, 3)
    assert sorted(payloads(events)) == [0, 1, 2]
    assert {event.delivery for event in events} == {2}
