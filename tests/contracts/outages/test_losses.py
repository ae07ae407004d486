"""A server that lost its newest events, real and simulated: contract section 4, "When the log goes back"."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from fanout import machine
from fanout.ports.log import Log, Reset
from fanout.streams import DEAD, MESSAGES, META
from services.runtime.tasks import retry_forever
from tests.support.log_worlds import READERS, Reading, again
from tests.support.outage_worlds import LogWorld
from tests.support.reading import append_messages, collect, payloads, seqs, soon, until

World = LogWorld[Any]
Reads = Callable[[Log], "asyncio.Future[Reading]"]


@pytest.mark.parametrize("reader", READERS)
async def test_what_is_accepted_after_the_newest_events_were_lost_is_read_once_above_all_that_was_given(
    world: World, reader: Reads
) -> None:
    log, _, _ = await world.process()
    given = await append_messages(log, "general", range(10))
    saved = await world.save()
    reading = await reader(log)
    given += await again(log, range(10, 60))
    await reading.has(*range(60))
    await world.lose_all_since(saved)
    new = await again(log, range(60, 70))
    await reading.has(*range(60, 70))
    assert min(new) > max(given)
    assert new == sorted(set(new))
    came = [event for event in reading.events if int(event.payload) >= 60]
    assert (payloads(came), seqs(came)) == (list(range(60, 70)), new)
    assert {reset.stream for reset in world.resets} == {MESSAGES}
    reading.stop()


@pytest.mark.parametrize("reader", READERS)
async def test_an_empty_disk_loses_nothing_that_is_accepted_later(world: World, reader: Reads) -> None:
    log, _, _ = await world.process()
    given = await append_messages(log, "general", range(10))
    reading = await reader(log)
    await reading.has(*range(10))
    await world.lose_everything()
    new = await again(log, range(10, 20))
    await reading.has(*range(10, 20))
    assert min(new) > max(given)
    assert payloads(reading.events) == list(range(20))
    await soon(log.ping())
    assert await log.last_seq(META) >= 0
    assert await log.last_seq(DEAD) >= 0
    reading.stop()


@pytest.mark.parametrize("reader", READERS)
async def test_a_loss_is_reported_before_anything_that_was_accepted_after_it_is_given(
    world: World, reader: Reads
) -> None:
    log, _, _ = await world.process()
    await append_messages(log, "general", range(10))
    reading = await reader(log)
    await reading.has(*range(10))
    given_at_reset: list[int] = []
    log.on_reset(lambda _: given_at_reset.append(len(reading.events)))
    await world.lose_everything()
    await again((await world.process()).log, range(10, 20))
    await reading.has(*range(10, 20))
    assert given_at_reset[0] == 10
    reading.stop()


async def test_an_id_that_was_lost_with_its_event_is_new_again(world: World) -> None:
    log, _, _ = await world.process()
    saved = await world.save()
    [given] = await append_messages(log, "general", [1])
    await world.lose_all_since(saved)
    [new] = await again(log, range(1, 2))
    assert new > given
    stored = await log.get(MESSAGES, new)
    assert stored is not None
    assert stored.payload == b"1"
    assert await log.get(MESSAGES, given) is None


async def test_acknowledgements_are_lost_with_what_came_after_them(world: World) -> None:
    log, bus, _ = await world.process()
    stored = await append_messages(log, "general", range(10))
    reader = await log.claim(MESSAGES, 0, "first")
    await collect(reader, 10)
    saved = await world.save()
    await again(log, range(10, 11))
    await collect(reader, 1)
    await reader.ack(stored[-1])
    await bus.ping()
    await reader.close()
    await world.lose_all_since(saved)
    successor = await soon(retry_forever(lambda: log.claim(MESSAGES, 0, "second"), "claiming"))
    assert successor.position < stored[-1]


async def test_who_did_not_notice_takes_over_what_another_found(world: World) -> None:
    (one, _, _), (other, _, _) = await world.process(), await world.process()
    await append_messages(one, "general", range(10))
    saved = await world.save()
    await again(one, range(10, 20))
    await world.lose_all_since(saved)
    new = await again(one, range(20, 25))
    await until(lambda: asyncio.sleep(0, len(world.resets) == 2 or None))
    assert world.resets[0] == world.resets[1]
    ends = await one.last_seq(MESSAGES), await other.last_seq(MESSAGES)
    assert ends == (new[-1], new[-1])


async def test_who_comes_later_hears_of_what_was_lost(world: World) -> None:
    log, _, _ = await world.process()
    await append_messages(log, "general", range(10))
    before = machine.wall_s()
    assert await log.missed_reset(MESSAGES, before) is None
    await world.lose_everything()
    await again(log, range(10, 20))
    other, _, _ = await world.process()
    assert await other.missed_reset(MESSAGES, before) == Reset(MESSAGES, 0)
    assert await other.missed_reset(MESSAGES, machine.wall_s() + 60) is None


async def test_a_restart_that_loses_nothing_is_no_reset(world: World) -> None:
    log, _, _ = await world.process()
    given = await append_messages(log, "general", range(10))
    await world.restart()
    assert await again(log, range(10, 12)) == [given[-1] + 1, given[-1] + 2]
    await soon(log.ping())
    assert not world.resets


async def test_epochs_rise_also_where_the_log_lost_its_consumers_and_no_event(world: World) -> None:
    """Instances drop what comes with a lower epoch than they know. Nothing says that such a log went back."""
    log, _, _ = await world.process()
    await append_messages(log, "general", range(3))
    saved = await world.save()
    given = []
    for worker in ("first", "second", "third"):
        reader = await log.claim(MESSAGES, 0, worker)
        given.append(reader.epoch)
        await reader.close()
    await world.lose_all_since(saved)
    reader = await soon(retry_forever(lambda: log.claim(MESSAGES, 0, "fourth"), "claiming"))
    assert [*given, reader.epoch] == sorted({*given, reader.epoch})
    assert not world.resets
    await reader.close()
