"""The contract of `fanout.ports.bus`, held by every adapter."""

import asyncio

import pytest

from fanout import machine
from fanout.errors import TooLarge
from fanout.ports.bus import Bus
from services.runtime.skipping import HANDLERS_FAILED
from tests.contracts.conftest import BreakableBus
from tests.support.observing import until
from tests.support.reading import soon


class _Heard:
    """A handler that keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self._news = asyncio.Event()

    def __call__(self, subject: str, payload: bytes) -> None:
        self.messages.append((subject, payload))
        self._news.set()

    async def count(self, wanted: int) -> list[tuple[str, bytes]]:
        while len(self.messages) < wanted:
            self._news.clear()
            await soon(self._news.wait())
        return self.messages


async def test_a_subscriber_hears_what_is_published(bus: Bus) -> None:
    heard = _Heard()
    subscription = await bus.subscribe("client.typing.general", heard)
    await bus.publish("client.typing.general", b"\x00\r\nbytes")
    assert await heard.count(1) == [("client.typing.general", b"\x00\r\nbytes")]
    await subscription.close()


async def test_every_subscriber_hears_it(bus: Bus) -> None:
    listeners = [_Heard(), _Heard()]
    subscriptions = [await bus.subscribe("a.b", heard) for heard in listeners]
    await bus.publish("a.b", b"x")
    for heard, subscription in zip(listeners, subscriptions, strict=True):
        assert await heard.count(1) == [("a.b", b"x")]
        await subscription.close()


async def test_what_nobody_hears_is_gone(bus: Bus) -> None:
    await bus.publish_many([("a.b", b"early")])
    heard = _Heard()
    subscription = await bus.subscribe("a.b", heard)
    await bus.publish("a.b", b"late")
    assert await heard.count(1) == [("a.b", b"late")]
    await subscription.close()


async def test_many_come_in_order(bus: Bus) -> None:
    heard = _Heard()
    subscription = await bus.subscribe("instance.events.*", heard)
    sent = [(f"instance.events.i{number % 3}", str(number).encode()) for number in range(500)]
    await bus.publish_many(sent)
    assert await heard.count(500) == sent
    await subscription.close()


async def test_more_than_any_buffer_holds_comes_in_order(bus: Bus) -> None:
    heard = _Heard()
    subscription = await bus.subscribe("a.*", heard)
    sent = [(f"a.{number}", bytes([number]) * 500_000) for number in range(24)]
    await bus.publish_many(sent)
    assert await heard.count(24) == sent
    await subscription.close()


async def test_the_longest_message_comes_and_a_longer_one_is_refused_before_any_is_sent(bus: Bus) -> None:
    heard = _Heard()
    subscription = await bus.subscribe("a.*", heard)
    longest = bytes(bus.max_payload)
    with pytest.raises(TooLarge, match=str(bus.max_payload)):
        await bus.publish("a.b", longest + b"x")
    with pytest.raises(TooLarge):
        await bus.publish_many([("a.b", b"not sent"), ("a.b", longest + b"x")])
    await bus.publish_many([("a.c", longest)])
    assert await heard.count(1) == [("a.c", longest)]
    await subscription.close()


async def test_publishing_nothing_is_fine(bus: Bus) -> None:
    await bus.publish_many([])


@pytest.mark.parametrize(
    ("pattern", "hears"),
    [
        ("a.*", ["a.b"]),
        ("a.>", ["a.b", "a.b.c"]),
        (">", ["a.b", "a.b.c", "x"]),
        ("*.b.*", ["a.b.c"]),
        ("x", ["x"]),
    ],
)
async def test_wildcards(bus: Bus, pattern: str, hears: list[str]) -> None:
    heard = _Heard()
    subscription = await bus.subscribe(pattern, heard)
    end = _Heard()
    last = await bus.subscribe("z.z.z.z", end)
    await bus.publish_many([(subject, b"") for subject in ("a.b", "a.b.c", "x", "z.z.z.z")])
    await end.count(1)
    await subscription.close()
    assert [subject for subject, _ in heard.messages if not subject.startswith("z")] == hears
    await last.close()


async def test_a_closed_subscription_hears_no_more(bus: Bus) -> None:
    closed, open_one = _Heard(), _Heard()
    subscription = await bus.subscribe("a.b", closed)
    other = await bus.subscribe("a.b", open_one)
    await subscription.close()
    await bus.publish("a.b", b"x")
    await open_one.count(1)
    assert closed.messages == []
    await other.close()


async def test_ping(bus: Bus) -> None:
    await bus.ping()


async def test_a_handler_that_fails_loses_its_message_and_no_other(bus: Bus) -> None:
    heard, calls = _Heard(), list[bytes]()

    def fail_once(_subject: str, payload: bytes) -> None:
        calls.append(payload)
        if payload == b"1":
            raise LookupError("broken")

    failed = HANDLERS_FAILED.labels("a.*")._value.get()
    subscriptions = [await bus.subscribe("a.*", fail_once), await bus.subscribe("a.b", heard)]
    await bus.publish_many([("a.b", b"1"), ("a.b", b"2")])
    await heard.count(2)
    await until(lambda: calls == [b"1", b"2"])
    assert HANDLERS_FAILED.labels("a.*")._value.get() == failed + 1
    for subscription in subscriptions:
        await subscription.close()


async def test_who_listens_for_gaps_is_told_when_messages_may_have_been_lost_and_come_again(
    breakable: BreakableBus,
) -> None:
    bus, gaps, heard = breakable.bus, list[float](), _Heard()
    bus.on_gap(gaps.append)
    subscription = await bus.subscribe("a.b", heard)
    before = machine.monotonic_s()
    await breakable.break_off()
    await until(lambda: gaps != [])
    await bus.publish("a.b", b"after")
    assert (await heard.count(1))[-1] == ("a.b", b"after")
    assert len(gaps) == 1
    assert 0 < gaps[0] < machine.monotonic_s() - before + 10
    await subscription.close()


async def test_a_listener_that_was_taken_off_is_told_of_no_gap(breakable: BreakableBus) -> None:
    forgotten, kept = list[float](), list[float]()
    forget = breakable.bus.on_gap(forgotten.append)
    breakable.bus.on_gap(kept.append)
    forget()
    forget()
    await breakable.break_off()
    await until(lambda: kept != [])
    assert forgotten == []


async def test_without_a_loss_there_is_no_gap(bus: Bus) -> None:
    gaps, heard = list[float](), _Heard()
    bus.on_gap(gaps.append)
    subscription = await bus.subscribe("a.b", heard)
    await bus.publish_many([("a.b", b"1"), ("a.b", b"2")])
    await heard.count(2)
    await subscription.close()
    assert gaps == []
