"""The bridge between the driver's thread and the event loop, with a driver whose answers the test gives."""

import asyncio
import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from fanout.errors import Unavailable
from services.adapters.cassandra.bridge import Bridge, Request


class FakePending:
    def __init__(self) -> None:
        self.callback: Callable[..., None]
        self.errback: Callable[..., None]
        self.arguments: tuple[Any, ...]

    def add_callbacks(
        self, callback: Any, errback: Any, callback_args: tuple[Any, ...], errback_args: tuple[Any, ...]
    ) -> None:
        self.callback, self.errback, self.arguments = callback, errback, callback_args

    def answer(self, rows: list[Any] | None = None) -> None:
        self.callback(rows, *self.arguments)

    def fail(self, error: Exception) -> None:
        self.errback(error, *self.arguments)


class FakeSession:
    def __init__(self) -> None:
        self.sent: list[FakePending] = []
        self.asked: list[tuple[Any, Any]] = []
        self.most = 0
        self.refusal: Exception | None = None

    def execute_async(self, query: Any, parameters: Any = None) -> FakePending:
        if self.refusal is not None:
            raise self.refusal
        self.asked.append((query, parameters))
        self.sent.append(FakePending())
        return self.sent[-1]


def answer_on_another_thread(sent: list[FakePending]) -> None:
    """As the driver does: each in turn, with its number as the row."""

    def work() -> None:
        for number, pending in enumerate(sent):
            pending.answer([(number,)])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


@pytest.fixture
async def bridge(session: FakeSession) -> Bridge:
    return Bridge(session, patience_s=5, max_in_flight=3)


async def test_an_answer_of_another_thread_reaches_its_caller(bridge: Bridge, session: FakeSession) -> None:
    calls = [asyncio.create_task(bridge.execute("select", number)) for number in range(3)]
    await settled()
    assert session.asked == [("select", (0,)), ("select", (1,)), ("select", (2,))]
    answer_on_another_thread(session.sent)
    assert await asyncio.gather(*calls) == [[(0,)], [(1,)], [(2,)]]
    assert bridge.in_flight == 0


async def test_many_answers_wake_the_loop_once(
    bridge: Bridge, session: FakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    wakes: list[Any] = []
    wake = loop.call_soon_threadsafe

    def counted(callback: Callable[[], None]) -> None:
        wakes.append(callback)
        wake(callback)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    call = asyncio.create_task(bridge.execute_all([Request("select")] * 3))
    await settled()
    answer_on_another_thread(session.sent)
    assert await call == [[(0,)], [(1,)], [(2,)]]
    assert len(wakes) == 1
    call = asyncio.create_task(bridge.execute_all([Request("select")]))
    await settled()
    session.sent[-1].answer()
    await call
    assert len(wakes) == 2


async def test_no_more_than_the_bound_is_in_flight(bridge: Bridge, session: FakeSession) -> None:
    call = asyncio.create_task(bridge.execute_all([Request("select", (number,)) for number in range(50)]))
    for answered in range(50):
        await settled()
        assert bridge.in_flight == min(3, 50 - answered)
        assert len(session.sent) == min(answered + 3, 50)
        session.sent[answered].answer([(answered,)])
    assert await call == [[(number,)] for number in range(50)]


async def test_an_error_is_raised_when_all_that_was_sent_is_answered(bridge: Bridge, session: FakeSession) -> None:
    call = asyncio.create_task(bridge.execute_all([Request("select")] * 3))
    await settled()
    session.sent[1].fail(KeyError("wrong"))
    await settled()
    assert not call.done()
    session.sent[0].answer()
    session.sent[2].fail(KeyError("later"))
    with pytest.raises(KeyError, match="wrong"):
        await call
    assert bridge.in_flight == 0


async def test_a_cancelled_call_keeps_its_place_until_the_driver_answers(bridge: Bridge, session: FakeSession) -> None:
    call = asyncio.create_task(bridge.execute("select"))
    await settled()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert bridge.in_flight == 1
    session.sent[0].answer([(1,)])
    await settled()
    assert bridge.in_flight == 0


async def test_a_call_that_waits_for_a_place_may_be_cancelled(bridge: Bridge, session: FakeSession) -> None:
    full = asyncio.create_task(bridge.execute_all([Request("select")] * 3))
    await settled()
    waiting = asyncio.create_task(bridge.execute("select"))
    await settled()
    waiting.cancel()
    await settled()
    assert waiting.cancelled()
    for sent in session.sent:
        sent.answer()
    await full
    after = asyncio.create_task(bridge.execute_all([Request("select")] * 3))
    await settled()
    assert bridge.in_flight == 3
    for sent in session.sent[3:]:
        sent.answer()
    await after


async def test_a_driver_that_answers_nothing_is_unavailable(session: FakeSession) -> None:
    bridge = Bridge(session, patience_s=0.01, max_in_flight=1)
    stuck = asyncio.create_task(bridge.execute("select"))
    await settled()
    with pytest.raises(Unavailable, match="none of 1 requests"):
        await bridge.execute("select")
    session.sent[0].answer()
    assert await stuck == []


async def test_a_driver_that_refuses_at_once_takes_no_place(bridge: Bridge, session: FakeSession) -> None:
    session.refusal = ValueError("no")
    for _ in range(10):
        with pytest.raises(ValueError, match="no"):
            await bridge.execute("select")
    assert bridge.in_flight == 0


async def test_a_long_series_lets_other_tasks_run(session: FakeSession) -> None:
    bridge = Bridge(session, patience_s=5, max_in_flight=1_000)
    call = asyncio.create_task(bridge.execute_all([Request("select")] * 640))
    seen: list[int] = []
    while len(session.sent) < 640:
        await asyncio.sleep(0)
        seen.append(len(session.sent))
    assert max(later - earlier for earlier, later in pairwise(seen)) <= 16
    for sent in session.sent:
        sent.answer()
    assert len(await call) == 640


def test_an_answer_after_the_end_of_the_loop_harms_nothing(session: FakeSession) -> None:
    async def abandoned() -> None:
        task = asyncio.create_task(Bridge(session, patience_s=5).execute("select"))
        await settled()
        task.cancel()

    with asyncio.Runner() as runner:
        runner.run(abandoned())
    session.sent[0].answer()
