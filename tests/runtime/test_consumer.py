"""The worker of a durable consumer, whatever its handler does."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from prometheus_client import REGISTRY

from fanout import InvalidEvent, Unavailable
from fanout.ports.log import StoredEvent
from fanout.ports.messages import LogPlace
from fanout.streams import DEAD, MESSAGE_WRITER, MESSAGES, META
from fanout.subjects import message
from services.adapters.embedded.faults import FaultInjection
from services.adapters.embedded.log import EmbeddedLog
from services.runtime import consumer as consumer_module
from services.runtime import tasks as tasks_module
from services.runtime.consumer import Consumption, running_consumer
from tests.support.observing import until


class Handler:
    """Keeps what it handled; is away, or broken, on demand."""

    def __init__(self) -> None:
        self.handled: list[bytes] = []
        self.newest: list[int] = []
        self.refused = 0
        self.away = False
        self.error: Exception | None = None
        self.place: LogPlace | None = None

    def consumption(self) -> Consumption[bytes]:
        return Consumption(MESSAGES, MESSAGE_WRITER, self.decode, self.handle, self.kept_place)

    def decode(self, event: StoredEvent) -> bytes:
        if event.payload.startswith(b"bad"):
            raise InvalidEvent("it is bad")
        return event.payload

    async def handle(self, events: Sequence[bytes], newest: StoredEvent) -> None:
        if self.error is not None:
            raise self.error
        if self.away:
            self.refused += 1
            raise Unavailable("the store is away")
        self.handled += events
        self.newest.append(newest.seq)

    async def kept_place(self) -> LogPlace | None:
        return self.place


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_module, "FIRST_DELAY_S", 0.001)
    monkeypatch.setattr(consumer_module, "LONGEST_PAUSE_S", 0.002)


@pytest.fixture
async def log() -> AsyncIterator[EmbeddedLog]:
    log = await EmbeddedLog.open(None, ack_wait=0.3)
    yield log
    await log.close()


async def post(log: EmbeddedLog, *payloads: bytes) -> None:
    for payload in payloads:
        await log.append(message("general"), payload, msg_id=payload.decode())


def fail(error: BaseException) -> None:
    pytest.fail(str(error))


def count(metric: str) -> float:
    return REGISTRY.get_sample_value(metric, {"consumer": MESSAGE_WRITER}) or 0.0


def acknowledged(log: EmbeddedLog) -> int:
    """Up to where every event was acknowledged."""
    queue = log._queues.get((MESSAGES, MESSAGE_WRITER))
    return queue.floor if queue is not None else 0


async def dead_letters(log: EmbeddedLog) -> list[bytes]:
    return [event.payload async for event in log.read(DEAD, after=0, upto=100)]


async def test_handled_events_are_acknowledged_and_counted(log: EmbeddedLog) -> None:
    handler, before = Handler(), count("fanout_events_handled_total")
    async with running_consumer(handler.consumption(), log, fail):
        await post(log, b"1", b"2", b"3")
        await until(lambda: handler.handled == [b"1", b"2", b"3"])
        await until(lambda: acknowledged(log) == 3)
    assert handler.newest[-1] == 3
    assert count("fanout_events_handled_total") == before + 3


async def test_while_the_handler_is_away_events_come_again(log: EmbeddedLog) -> None:
    handler, before = Handler(), count("fanout_events_retried_total")
    handler.away = True
    async with running_consumer(handler.consumption(), log, fail):
        await post(log, b"1", b"2")
        await until(lambda: handler.refused >= 5, "tried often")
        assert acknowledged(log) == 0
        handler.away = False
        await until(lambda: set(handler.handled) == {b"1", b"2"})
        await until(lambda: acknowledged(log) == 2)
    assert count("fanout_events_retried_total") >= before + 5


async def test_an_invalid_event_is_dead_lettered_and_the_others_are_handled(log: EmbeddedLog) -> None:
    handler, before = Handler(), count("fanout_events_dead_lettered_total")
    await post(log, b"bad 1", b"2", b"bad 3")
    async with running_consumer(handler.consumption(), log, fail):
        await until(lambda: acknowledged(log) == 3)
    assert handler.handled == [b"2"]
    assert handler.newest == [3]
    assert await dead_letters(log) == [b"bad 1", b"bad 3"]
    assert count("fanout_events_dead_lettered_total") == before + 2


async def test_an_invalid_event_is_dead_lettered_once_however_long_the_handler_is_away(log: EmbeddedLog) -> None:
    handler, before = Handler(), count("fanout_events_dead_lettered_total")
    handler.away = True
    await post(log, b"bad 1", b"2")
    async with running_consumer(handler.consumption(), log, fail):
        await until(lambda: handler.refused >= 5)
        assert await dead_letters(log) == []
        handler.away = False
        await until(lambda: acknowledged(log) == 2)
    assert count("fanout_events_dead_lettered_total") == before + 1


async def test_what_was_not_acknowledged_goes_to_the_next_worker(log: EmbeddedLog) -> None:
    handler = Handler()
    handler.away = True
    async with running_consumer(handler.consumption(), log, fail):
        await post(log, b"1")
        await until(lambda: handler.refused >= 1)
    handler.away = False
    async with running_consumer(handler.consumption(), log, fail):
        await until(lambda: handler.handled == [b"1"])


async def test_an_event_may_come_twice_and_none_is_left_out() -> None:
    log = await EmbeddedLog.open(None, faults=FaultInjection(redeliver=0.3, duplicate=0.3, lose_ack=0.3), ack_wait=0.05)
    handler, payloads = Handler(), [b"%d" % number for number in range(100)]
    async with running_consumer(handler.consumption(), log, fail):
        await post(log, *payloads)
        await until(lambda: set(handler.handled) == set(payloads))
        await until(lambda: len(handler.handled) > len(payloads), "something came again")
    await log.close()


async def test_any_other_error_of_the_handler_ends_the_worker_and_is_told(log: EmbeddedLog) -> None:
    handler, failures = Handler(), list[BaseException]()
    handler.error = LookupError("broken")
    async with running_consumer(handler.consumption(), log, failures.append):
        await post(log, b"1")
        await until(lambda: [str(failure) for failure in failures] == ["broken"])


async def test_the_log_is_compared_with_the_kept_place_before_the_worker_joins(
    log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler, calls = Handler(), list[object]()
    handler.place = LogPlace(5, 6)
    recall, consume = log.recall, log.consume

    async def recalled(stream: str, seq: int, stored_ns: int) -> None:
        calls.append((stream, seq, stored_ns))
        if len(calls) == 1:
            raise Unavailable("away")
        await recall(stream, seq, stored_ns)

    async def consumed(stream: str, durable: str) -> object:
        calls.append(durable)
        return await consume(stream, durable)

    monkeypatch.setattr(log, "recall", recalled)
    monkeypatch.setattr(log, "consume", consumed)
    async with running_consumer(handler.consumption(), log, fail):
        await until(lambda: len(calls) == 3)
    assert calls == [(MESSAGES, 5, 6), (MESSAGES, 5, 6), MESSAGE_WRITER]


async def test_a_worker_that_is_cancelled_in_its_handler_leaves_the_consumer(log: EmbeddedLog) -> None:
    handler, entered = Handler(), asyncio.Event()

    async def wait(_events: Sequence[bytes], _newest: StoredEvent) -> None:
        entered.set()
        await asyncio.Event().wait()

    stuck = Consumption(MESSAGES, MESSAGE_WRITER, handler.decode, wait)
    async with running_consumer(stuck, log, fail):
        await post(log, b"1")
        await entered.wait()
    async with running_consumer(handler.consumption(), log, fail):
        await until(lambda: handler.handled == [b"1"])


def test_a_consumer_that_is_not_in_the_table_of_streams_is_refused() -> None:
    handler = Handler()
    with pytest.raises(ValueError, match="META has no durable consumer"):
        Consumption(META, MESSAGE_WRITER, handler.decode, handler.handle)
