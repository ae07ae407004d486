import asyncio
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from fanout import Unavailable
from services.runtime import tasks as tasks_module
from services.runtime.keyed_lock import KeyedLock
from services.runtime.tasks import Outage, Tasks, all_ended, periodic, retry_forever, retry_times
from tests.support.observing import until


class Flaky:
    """Unavailable so many times, then done."""

    def __init__(self, failures: int) -> None:
        self.left = failures
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise Unavailable("away")
        return "done"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_module, "FIRST_DELAY_S", 0.001)
    monkeypatch.setattr(tasks_module, "LONGEST_DELAY_S", 0.002)


async def test_leaving_the_group_cancels_and_awaits_its_tasks() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            ended.set()

    async with Tasks(lambda error: pytest.fail(str(error))) as tasks:
        tasks.start(work(), "work")
        await asyncio.sleep(0)
    assert ended.is_set()


async def test_one_task_is_stopped_also_if_it_loses_a_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_module, "CANCEL_AGAIN_AFTER_S", 0.01)
    lost = asyncio.Event()

    async def work() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        lost.set()
        await asyncio.Event().wait()

    async with Tasks(lambda error: pytest.fail(str(error))) as tasks:
        stopped, other = tasks.start(work(), "work"), tasks.start(work(), "other work")
        await asyncio.sleep(0)
        await tasks.stop(stopped)
        assert (lost.is_set(), stopped.cancelled(), other.done()) == (True, True, False)
        await tasks.stop(stopped)


async def test_a_failure_is_told_to_the_owner() -> None:
    failures: list[BaseException] = []

    async def work() -> None:
        raise LookupError("broken")

    async with Tasks(failures.append) as tasks:
        task = tasks.start(work(), "work")
        await asyncio.wait([task])
        await asyncio.sleep(0)
    assert [str(failure) for failure in failures] == ["broken"]


async def test_retries_go_on_while_it_is_unavailable() -> None:
    work = Flaky(5)
    assert await retry_forever(work, "work") == "done"
    assert work.calls == 6


async def test_so_many_attempts_end_with_the_last_failure() -> None:
    assert await retry_times(6, Flaky(5), "work") == "done"
    work = Flaky(1_000)
    with pytest.raises(Unavailable, match="away"):
        await retry_times(6, work, "work")
    assert work.calls == 6


async def test_retries_hide_no_other_error() -> None:
    async def work() -> None:
        raise LookupError("broken")

    with pytest.raises(LookupError, match="broken"):
        await retry_forever(work, "work")


def test_pauses_double_up_to_the_longest_and_begin_again_after_a_success() -> None:
    outage, away = Outage("work", longest_s=0.006), Unavailable("away")
    assert [outage.failed(away) for _ in range(5)] == [0.001, 0.002, 0.004, 0.006, 0.006]
    outage.succeeded()
    assert outage.failed(away) == 0.001


def test_an_outage_of_any_length_has_a_pause() -> None:
    outage, away = Outage("work", longest_s=3.0), Unavailable("away")
    assert [outage.failed(away) for _ in range(3_000)][-1] == 3.0


def test_the_log_says_when_an_outage_begins_and_when_it_ends() -> None:
    outage, away = Outage("work"), Unavailable("away")
    with capture_logs() as lines:
        outage.succeeded()
        for _ in range(3):
            outage.failed(away)
        outage.succeeded()
        outage.succeeded()
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("cannot be done now, is tried again", "warning"),
        ("works again", "info"),
    ]


async def test_an_error_is_raised_when_the_rest_has_ended_too() -> None:
    ended: list[int] = []

    async def work(number: int) -> int:
        await asyncio.sleep(number / 1000)
        ended.append(number)
        if number in {1, 2}:
            raise LookupError(f"{number}")
        return number

    assert await all_ended(map(work, [5, 3, 4])) == [5, 3, 4]
    ended.clear()
    with pytest.raises(LookupError, match="2"):
        await all_ended(map(work, [3, 2, 1]))
    assert ended == [1, 2, 3]


async def test_a_chore_survives_an_outage() -> None:
    work = Flaky(2)

    async def chore() -> None:
        await work()

    async with Tasks(lambda error: pytest.fail(str(error))) as tasks:
        tasks.start(periodic(0.001, chore, "chore"), "chore")
        await until(lambda: work.calls >= 4)


async def test_one_key_is_serialised_and_another_is_not() -> None:
    lock = KeyedLock()
    order: list[str] = []

    async def hold(key: str, name: str) -> None:
        async with lock(key):
            order.append(f"{name} in")
            await asyncio.sleep(0.01)
            order.append(f"{name} out")

    await asyncio.gather(hold("a", "first"), hold("a", "second"), hold("b", "other"))
    assert order.index("first out") < order.index("second in")
    assert order.index("other in") < order.index("first out")


async def test_a_waiter_that_gives_up_leaves_the_lock_usable() -> None:
    lock = KeyedLock()
    async with lock("a"):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), lock("a"):
                pytest.fail("held twice")
    async with asyncio.timeout(1), lock("a"):
        pass
