"""What calls of the log and the bus come to while the server is killed, frozen or full, real and simulated."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from fanout import subjects
from fanout.errors import OutcomeUnknown, StorageFull, Unavailable
from fanout.ports.log import Appended, Log
from fanout.streams import DEAD, MESSAGES
from tests.support.outage_worlds import LogWorld
from tests.support.reading import append_messages, collect, payloads, soon, until

World = LogWorld[Any]


def append(log: Log, text: bytes = b"text") -> Awaitable[Appended]:
    return soon(log.append(subjects.message("general"), text, msg_id="one"))


async def test_nothing_is_kept_to_be_sent_later(world: World) -> None:
    process = log, bus, _ = await world.process()
    heard: list[bytes] = []
    await bus.subscribe("a.b", lambda _, payload: heard.append(payload))
    await world.kill()
    await world.notices(process)
    attempts = (
        append(log),
        bus.publish("a.b", b"lost"),
        bus.publish_many([("a.b", b"lost")]),
        bus.subscribe("a.b", lambda *_: None),
        bus.ping(),
        log.ping(),
        log.get(MESSAGES, 1),
        log.consume(MESSAGES, "writer"),
        log.claim(MESSAGES, 0, "worker"),
    )
    for attempt in attempts:
        with pytest.raises(Unavailable) as caught:
            await soon(attempt)
        assert not isinstance(caught.value, OutcomeUnknown)
    await world.start()
    await world.answers()
    await bus.publish("a.b", b"after")
    await bus.ping()
    await until(lambda: asyncio.sleep(0, heard or None))
    assert heard == [b"after"]
    assert await log.last_seq(MESSAGES) == 0


async def test_an_event_that_was_sent_and_not_answered_may_be_stored(world: World) -> None:
    log, _, _ = await world.process()
    world.pause()
    with pytest.raises(OutcomeUnknown):
        await append(log)
    world.resume()
    await world.answers()
    repeated = await append(log)
    assert (repeated.seq, await log.last_seq(MESSAGES)) == (1, 1)


async def test_who_waits_for_an_answer_is_told_when_the_connection_is_lost(world: World) -> None:
    log, bus, _ = await world.process()
    world.pause()
    waiting = [asyncio.ensure_future(append(log)), asyncio.ensure_future(bus.publish_many([("a.b", b"x")]))]
    await asyncio.sleep(0.05)
    await world.kill()
    for task in waiting:
        with pytest.raises(Unavailable):
            async with asyncio.timeout(1.5):
                await task
    await world.start()
    await world.answers()


async def test_a_frozen_server_is_unavailable_and_heard_again_when_it_goes_on(world: World) -> None:
    log, bus, _ = await world.process()
    world.pause()
    results = await soon(asyncio.gather(bus.ping(), log.ping(), append(log), return_exceptions=True))
    assert all(isinstance(result, Unavailable) for result in results)
    world.resume()
    await world.answers()
    await append(log)
    assert await log.last_seq(MESSAGES) == 1


async def test_a_subscription_outlives_a_restart_and_is_one_as_before(world: World) -> None:
    _, bus, _ = await world.process()
    heard: list[bytes] = []
    await bus.subscribe("a.*", lambda _, payload: heard.append(payload))
    await world.restart()
    await world.answers()
    await bus.publish_many([("a.b", b"1"), ("a.c", b"2")])
    await until(lambda: asyncio.sleep(0, len(heard) >= 2 or None))
    assert heard == [b"1", b"2"]


async def test_of_many_that_a_connection_carries_when_it_breaks_the_first_ones_are_heard(world: World) -> None:
    (_, listening, _), process = await world.process(), await world.process()
    heard: list[bytes] = []
    await listening.subscribe("a.b", lambda _, payload: heard.append(payload))
    sent = [str(number).encode() for number in range(2_000)]
    publishing = asyncio.create_task(process.bus.publish_many([("a.b", payload) for payload in sent]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await world.break_connection(process)
    await asyncio.gather(publishing, return_exceptions=True)
    await world.answers()
    await process.bus.publish("a.b", b"end")
    await until(lambda: asyncio.sleep(0, b"end" in heard or None))
    assert heard == [*sent[: len(heard) - 1], b"end"]


async def test_a_full_server_stores_nothing_and_does_all_else(world: World) -> None:
    log, bus, _ = await world.process()
    await append_messages(log, "general", range(3))
    await world.fill()
    await log.ping()
    for _ in range(2):
        with pytest.raises(StorageFull):
            await append(log)
        with pytest.raises(StorageFull):
            await log.ping()
    consumer = await log.consume(MESSAGES, "writer")
    events = await collect(consumer, 3)
    with pytest.raises(StorageFull):
        await log.dead_letter(MESSAGES, events[0], "broken")
    await consumer.retry(events[:1], 0)
    await consumer.ack([*events[1:], *await collect(consumer, 1)])
    reader = await log.claim(MESSAGES, 0, "worker")
    assert payloads(await collect(reader, 3)) == [0, 1, 2]
    assert payloads(await collect(await log.tail(MESSAGES, after=1), 2)) == [1, 2]
    await bus.publish_many([("a.b", b"x")])
    await world.make_room()
    assert (await append(log)).seq == 4
    await log.ping()
    assert await log.last_seq(DEAD) == 0
