"""What the embedded bus promises beyond the contract of the port, and its matching of subjects."""

import asyncio

import pytest

from fanout.errors import Unavailable
from services.adapters.embedded.bus import MAX_UNDELIVERED, EmbeddedBus
from services.adapters.embedded.faults import FaultInjection
from services.adapters.embedded.subjects import matches
from tests.support.observing import until


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        ("a.b", "a", False),
        ("a.b", "a.b.c", False),
        ("a.*", "a.b", True),
        ("a.*", "a", False),
        ("a.*", "a.b.c", False),
        ("*.b", "a.b", True),
        ("*.*", "a.b", True),
        ("a.*.c", "a.b.c", True),
        ("a.>", "a.b", True),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        ("a.>", "b.c", False),
        (">", "a", True),
        ("*.>", "a.b.c", True),
        ("a.b*", "a.bc", False),
    ],
)
def test_subjects_match_as_in_nats(pattern: str, subject: str, *, expected: bool) -> None:
    assert matches(pattern, subject) is expected


async def test_publishing_never_runs_a_handler_itself() -> None:
    bus, callers = EmbeddedBus(), list[object]()
    await bus.subscribe("a", lambda *_: callers.append(asyncio.current_task()))
    await bus.publish("a", b"1")
    await asyncio.sleep(0)
    assert callers == [None]  # a callback of the loop, and no task


async def test_a_flood_waits_for_its_handlers() -> None:
    bus, heard = EmbeddedBus(), list[bytes]()
    await bus.subscribe("a", lambda _, payload: heard.append(payload))
    for _ in range(3 * MAX_UNDELIVERED):
        await bus.publish("a", b"")
        assert bus._undelivered <= MAX_UNDELIVERED
    await bus.publish_many([("a", b"")] * (3 * MAX_UNDELIVERED))
    assert bus._undelivered <= MAX_UNDELIVERED
    await asyncio.sleep(0)
    assert len(heard) == 6 * MAX_UNDELIVERED


async def test_a_message_on_its_way_is_not_given_to_a_closed_subscription() -> None:
    bus, heard = EmbeddedBus(), list[bytes]()
    subscription = await bus.subscribe("a", lambda _, payload: heard.append(payload))
    await asyncio.gather(bus.publish("a", b"1"), subscription.close())
    await subscription.close()
    await asyncio.sleep(0)
    assert heard == []


async def test_a_lossy_bus_drops_some_and_keeps_the_order_of_the_rest() -> None:
    bus, heard = EmbeddedBus(faults=FaultInjection(drop=0.5)), list[int]()
    await bus.subscribe("a", lambda _, payload: heard.append(int(payload)))
    await bus.publish_many([("a", b"%d" % number) for number in range(500)])
    await asyncio.sleep(0)
    assert 0 < len(heard) < 500
    assert heard == sorted(heard)


async def test_what_faults_drop_is_told_as_one_gap() -> None:
    bus, gaps = EmbeddedBus(faults=FaultInjection(drop=0.5)), list[float]()
    bus.on_gap(gaps.append)
    await bus.subscribe("a", lambda *_: None)
    await bus.publish_many([("a", b"%d" % number) for number in range(500)])
    await until(lambda: gaps != [])
    assert len(gaps) == 1
    await bus.close()


async def test_a_closed_bus_takes_nothing() -> None:
    bus, heard = EmbeddedBus(), list[bytes]()
    await bus.subscribe("a", lambda _, payload: heard.append(payload))
    await asyncio.gather(bus.publish("a", b"1"), bus.close())
    await asyncio.sleep(0)
    assert heard == []
    with pytest.raises(Unavailable):
        await bus.publish("a", b"2")
    with pytest.raises(Unavailable):
        await bus.publish_many([("a", b"2")])
    with pytest.raises(Unavailable):
        await bus.subscribe("a", lambda _, __: None)
    with pytest.raises(Unavailable):
        await bus.ping()
