import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.simulation.hosts import HOST
from tests.simulation.loop import LONGEST_RUN_S, LONGEST_WORK_S, STEP_S, Stuck
from tests.support.simulated import Stage


def interleaved(seed: int) -> list[tuple[str, int]]:
    """The order in which the callbacks of two hosts run."""
    stage = Stage(seed)
    ran: list[tuple[str, int]] = []

    async def work() -> None:
        for number in range(12):
            for host in (stage.client, stage.server):
                stage.loop.call_soon(ran.append, (host.name, number), context=host.context)
        await asyncio.sleep(1.0)

    stage.run(work)
    return ran


def test_callbacks_of_one_host_run_in_the_order_in_which_they_became_ready() -> None:
    ran = interleaved(1)
    assert len(ran) == 24
    for name in ("client", "server"):
        assert [number for host, number in ran if host == name] == list(range(12))


def test_the_seed_decides_which_host_runs_next() -> None:
    assert interleaved(1) == interleaved(1)
    assert len({tuple(interleaved(seed)) for seed in range(5)}) == 5
    assert interleaved(1) != sorted(interleaved(1), key=lambda at: at[1])


def test_time_passes_without_waiting() -> None:
    stage = Stage()

    async def work() -> int:
        await asyncio.sleep(3_000.0)
        return stage.outside.machine.wall_ns()

    begin, first = time.perf_counter(), stage.outside.machine.wall_ns()
    passed = (stage.run(work) - first) / 1e9
    assert time.perf_counter() - begin < 5.0
    assert passed == pytest.approx(3_000.0, abs=0.01)
    assert stage.loop.time() == pytest.approx(3_000.0, abs=0.01)


def test_each_callback_takes_a_step() -> None:
    stage = Stage()

    async def work() -> float:
        begin, steps = stage.loop.time(), stage.loop.steps
        for _ in range(1_000):
            await asyncio.sleep(0)
        assert stage.loop.steps - steps == 1_000
        return stage.loop.time() - begin

    assert stage.run(work) == pytest.approx(1_000 * STEP_S)


def test_timers_ring_in_the_order_of_their_times_and_those_of_one_time_in_that_of_their_setting() -> None:
    stage = Stage()
    rang: list[float] = []

    async def work() -> None:
        for when in (3.0, 1.0, 2.0):
            stage.loop.call_at(when, rang.append, when)
            stage.loop.call_at(when, rang.append, when + 0.5)
        stage.loop.call_at(2.2, rang.append, 2.2).cancel()
        await asyncio.sleep(4.0)

    stage.run(work)
    assert rang == [1.0, 1.5, 2.0, 2.5, 3.0, 3.5]


def test_a_timer_rings_though_others_never_stop_running() -> None:
    stage = Stage()

    async def spin() -> None:
        while True:  # noqa: ASYNC110 - it is to keep the loop busy
            await asyncio.sleep(0)

    async def work() -> None:
        stage.client.start(spin(), "spinning")
        await asyncio.sleep(0.01)

    stage.run(work)
    assert stage.loop.time() < 0.02


def test_a_paused_host_runs_nothing_and_then_goes_on_with_what_has_waited() -> None:
    stage = Stage()
    ticks: list[float] = []
    sent: list[tuple[int, float]] = []

    def take(number: int) -> None:
        sent.append((number, stage.loop.time()))

    async def tick() -> None:
        while True:
            await asyncio.sleep(0.1)
            ticks.append(stage.loop.time())

    async def work() -> None:
        stage.client.start(tick(), "ticking")
        await asyncio.sleep(1.05)
        stage.loop.pause(stage.client)
        for number in range(3):
            stage.loop.call_soon(take, number, context=stage.client.context)
        await asyncio.sleep(4.0)
        stage.loop.resume(stage.client)
        await asyncio.sleep(1.0)

    stage.run(work)
    assert [at for at in ticks if 1.05 < at < 5.05] == []
    assert len([at for at in ticks if at < 1.05]) == 10
    assert len([at for at in ticks if at > 5.05]) >= 9
    assert [number for number, _ in sent] == [0, 1, 2]
    assert all(at >= 5.05 for _, at in sent)


def test_a_host_that_is_not_paused_is_not_resumed() -> None:
    stage = Stage()
    ran: list[int] = []

    async def work() -> None:
        for number in range(3):
            stage.loop.call_soon(ran.append, number, context=stage.client.context)
            stage.loop.resume(stage.client)
        await asyncio.sleep(1.0)

    stage.run(work)
    assert ran == [0, 1, 2]


def test_the_other_hosts_go_on_while_one_is_paused() -> None:
    stage = Stage()
    ran: list[str] = []

    async def work() -> None:
        stage.loop.pause(stage.client)
        stage.loop.call_soon(ran.append, "client", context=stage.client.context)
        stage.loop.call_soon(ran.append, "server", context=stage.server.context)
        await asyncio.sleep(1.0)

    stage.run(work)
    assert ran == ["server"]


def killed(after: Callable[[Stage], Any]) -> list[str]:
    """What a host still does after it was killed in the middle of a task."""
    stage = Stage()
    did: list[str] = []

    async def live() -> None:
        try:
            await asyncio.sleep(2.0)
            did.append("went on")
        finally:
            did.append("finally")

    async def work() -> list[str]:
        task = stage.client.start(live(), "living")
        stage.loop.call_later(2.0, did.append, "timer", context=stage.client.context)
        await asyncio.sleep(1.0)
        stage.loop.call_soon(did.append, "was ready", context=stage.client.context)
        stage.loop.kill(stage.client)
        after(stage)
        task.cancel()
        stage.loop.call_soon(did.append, "was sent", context=stage.client.context)
        await asyncio.sleep(5.0)
        assert not task.done()
        return did[:]

    return stage.run(work)  # type: ignore[no-any-return]


def test_nothing_of_a_killed_host_runs_not_even_finally() -> None:
    assert killed(lambda _: None) == []


def test_a_host_that_was_killed_while_paused_is_not_resumed() -> None:
    def pause_and_resume(stage: Stage) -> None:
        stage.loop.pause(stage.client)
        stage.loop.resume(stage.client)

    assert killed(pause_and_resume) == []


def test_the_tasks_of_a_host_are_its_own() -> None:
    stage = Stage()

    async def inner() -> str:
        await asyncio.sleep(0.1)
        return HOST.get().name

    async def outer() -> str:
        return await asyncio.create_task(inner(), name="inner")

    async def work() -> tuple[str, set[str]]:
        running = stage.client.start(outer(), "outer")
        await asyncio.sleep(0.05)
        names = {task.get_name() for task in stage.client.tasks}
        return await running, names

    assert stage.run(work) == ("client", {"outer", "inner"})


def took(seed: int) -> float:
    stage = Stage(seed)

    async def work() -> float:
        begin = stage.loop.time()
        assert await asyncio.to_thread(lambda: 6 * 7) == 42
        return stage.loop.time() - begin

    return stage.run(work)  # type: ignore[no-any-return]


def test_the_work_of_a_thread_is_done_at_a_moment_that_the_seed_decides() -> None:
    times = [took(seed) for seed in range(8)]
    assert times == [took(seed) for seed in range(8)]
    assert len(set(times)) == 8
    assert all(0.0 < seconds <= LONGEST_WORK_S + 3 * STEP_S for seconds in times)


def test_the_error_of_a_thread_is_raised_where_it_is_awaited() -> None:
    async def work() -> None:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)

    Stage().run(work)


def test_a_thread_that_is_not_awaited_any_more_still_does_its_work() -> None:
    stage = Stage()
    did: list[int] = []

    async def work() -> None:
        waiting = asyncio.create_task(asyncio.to_thread(did.append, 1))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.sleep(1.0)
        assert waiting.cancelled()

    stage.run(work)
    assert did == [1]


def test_a_loop_in_which_nothing_is_left_to_happen_is_stuck() -> None:
    async def work() -> None:
        await asyncio.get_running_loop().create_future()

    stage = Stage()
    with pytest.raises(Stuck):
        stage.run(work)
    assert stage.loop.is_closed()


def test_a_run_that_never_ends_is_stuck() -> None:
    async def work() -> None:
        while True:  # noqa: ASYNC110 - nothing ever ends it
            await asyncio.sleep(100.0)

    stage = Stage()
    with pytest.raises(Stuck):
        stage.run(work)
    assert stage.loop.virtual.now > LONGEST_RUN_S


def reported(work: Callable[[Stage], Coroutine[Any, Any, Any]]) -> list[tuple[str, str]]:
    """The errors that a loop tells of, each with its host."""
    stage = Stage()
    errors: list[tuple[str, str]] = []
    stage.loop.on_error = lambda host, error: errors.append((host.name, error))
    stage.run(lambda: work(stage))
    return errors


def fail_at_once() -> None:
    raise KeyError("a")


async def fail() -> None:
    await asyncio.sleep(0.1)
    raise KeyError("a")


def test_the_failure_of_a_task_that_nobody_asks_is_an_error_of_its_host() -> None:
    async def work(stage: Stage) -> None:
        stage.client.start(fail(), "failing")
        await asyncio.sleep(1.0)

    assert reported(work) == [("client", "KeyError('a') in fail")]


def test_the_failure_of_a_task_that_is_kept_is_found_in_the_end() -> None:
    async def work(stage: Stage) -> None:
        kept = [stage.client.start(fail(), "failing") for _ in range(2)]
        asked = stage.server.start(fail(), "failing")
        await asyncio.sleep(1.0)
        assert isinstance(asked.exception(), KeyError)
        for _ in range(2):
            for host in stage.hosts:
                stage.loop.report_failed_tasks(host)
        assert len(kept) == 2

    assert reported(work) == [("client", "KeyError('a') in fail")] * 2


def test_a_callback_that_fails_is_an_error_of_its_host() -> None:
    async def work(stage: Stage) -> None:
        stage.loop.call_soon(fail_at_once, context=stage.client.context)
        await asyncio.sleep(1.0)

    ((host, error),) = reported(work)
    assert host == "client"
    assert error == "KeyError('a') in _run > fail_at_once"


def test_a_future_that_fails_unseen_is_an_error() -> None:
    async def lose(stage: Stage) -> None:
        await asyncio.sleep(0.1)
        stage.loop.create_future().set_exception(KeyError("a"))

    async def work(stage: Stage) -> None:
        stage.client.start(lose(stage), "losing")
        await asyncio.sleep(1.0)

    assert reported(work) == [("client", "KeyError('a') in ")]


def test_what_is_no_exception_is_told_by_its_message() -> None:
    async def work(stage: Stage) -> None:
        await asyncio.sleep(0)
        stage.loop.call_exception_handler({"message": "something was lost"})

    assert reported(work) == [("outside", "something was lost")]


def test_errors_of_a_host_that_was_killed_do_not_count() -> None:
    async def work(stage: Stage) -> None:
        failed = stage.client.start(fail(), "failing")
        await asyncio.sleep(1.0)
        stage.loop.kill(stage.client)
        stage.client.corpses.clear()
        del failed
        await asyncio.sleep(1.0)

    assert reported(work) == []


def test_a_task_that_was_cancelled_or_has_ended_is_no_error() -> None:
    async def work(stage: Stage) -> None:
        stage.client.start(asyncio.sleep(0.1), "ending")
        stage.client.start(asyncio.sleep(9.0), "cancelled").cancel()
        await asyncio.sleep(1.0)
        stage.loop.report_failed_tasks(stage.client)

    assert reported(work) == []
