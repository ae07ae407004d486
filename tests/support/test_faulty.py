"""The faults that tests switch on."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fanout.errors import TooLarge, Unavailable
from fanout.ports.presence import Lease
from fanout.streams import MESSAGES
from fanout.subjects import message
from tests.support.faulty import FaultyBus, FaultyLog, FaultyPresence, faulty_log
from tests.support.reading import soon

SUBJECT = message("general")
LEASE = Lease("notif-1", "1", "ws://", "t", 0, 10)


@pytest.fixture
async def log() -> AsyncIterator[FaultyLog]:
    async with faulty_log() as log:
        yield log


async def test_while_it_is_down_no_call_has_an_effect_and_the_test_can_look(log: FaultyLog) -> None:
    await log.append(SUBJECT, b"1", msg_id="1")
    log.down = True
    with pytest.raises(Unavailable):
        await log.append(SUBJECT, b"2", msg_id="2")
    with pytest.raises(Unavailable):
        await anext(log.read(MESSAGES, after=0, upto=9))
    assert [event.payload for event in await log.stored(MESSAGES)] == [b"1"]
    log.down = False
    assert (await log.append(SUBJECT, b"2", msg_id="2")).seq == 2


async def test_one_call_fails(log: FaultyLog) -> None:
    log.fail_after = 1
    await log.append(SUBJECT, b"1", msg_id="1")
    with pytest.raises(Unavailable):
        await log.append(SUBJECT, b"2", msg_id="2")
    await log.append(SUBJECT, b"3", msg_id="3")
    assert [event.payload for event in await log.stored(MESSAGES)] == [b"1", b"3"]
    assert log.calls["append"] == 3


async def test_a_call_waits_while_it_is_blocked(log: FaultyLog) -> None:
    log.blocked = True
    appending = asyncio.create_task(log.append(SUBJECT, b"1", msg_id="1"))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not appending.done()
    assert log.calls["append"] == 1
    log.blocked = False
    await soon(appending)


async def test_a_method_may_have_an_outcome_in_place_of_its_effect() -> None:
    presence = FaultyPresence()
    presence.outcomes["lease"] = None
    await presence.lease(LEASE)
    assert await presence.leases() == {}
    presence.outcomes["lease"] = Unavailable("full")
    with pytest.raises(Unavailable, match="full"):
        await presence.lease(LEASE)
    presence.outcomes.clear()
    await presence.lease(LEASE)
    assert list(await presence.leases()) == ["notif-1"]


async def test_an_event_beyond_the_limit_is_too_large(log: FaultyLog) -> None:
    log.limit(3)
    with pytest.raises(TooLarge):
        await log.append(SUBJECT, b"1234", msg_id="1")
    await log.append(SUBJECT, b"123", msg_id="1")


async def test_the_bus_loses_what_it_is_told_to_and_notes_what_it_took() -> None:
    bus, heard = FaultyBus(), list[str]()
    await bus.subscribe(">", lambda subject, _: heard.append(subject))
    bus.prefix, bus.share = "a.", 1.0
    await bus.publish_many([("a.1", b""), ("b.1", b"")])
    await bus.publish("a.2", b"")
    assert heard == ["b.1"]
    assert [subject for subject, _ in bus.published] == ["a.1", "b.1", "a.2"]
    assert (bus.lost, bus.offered) == (2, 2)


async def test_a_message_of_another_process_arrives_past_the_faults() -> None:
    bus, heard = FaultyBus(), list[bytes]()
    await bus.subscribe("a", lambda _, payload: heard.append(payload))
    bus.down = True
    await bus.arrive("a", b"x")
    assert heard == [b"x"]
    assert bus.published == []


async def test_the_bus_takes_no_more_than_its_limit() -> None:
    bus = FaultyBus()
    bus.limit = 3
    with pytest.raises(TooLarge):
        await bus.publish("a", b"1234")
    assert bus.published == []
