"""`fanout bench stalls`: it sees a loop that stands still, and refuses figures of what had no effect."""

import asyncio
import time
from typing import Any

import pytest

from benchmarks.cases.stalls import targets
from benchmarks.errors import BenchError
from benchmarks.live import stalls
from benchmarks.live.stalls import LIMIT_S, SCENES, Play, Scene, Stalls, StallsOptions, Watch, run_scene
from benchmarks.processes import Leader
from fanout import Engine

SMALL = StallsOptions(users=40, channels=50, rounds=1)
STEADY = Stalls(turns=1_000, longest=0.002, over_limit=0, longest_work=0.001)
STOOD_STILL = Stalls(turns=1_000, longest=0.03, over_limit=9, longest_work=0.029)


class EagerLeader(Leader):
    """A benchmark that lets a scene go on at once."""

    def __init__(self) -> None:
        pass

    def send(self, message: object) -> None:
        pass

    async def receive_async(self) -> None:
        pass


def work(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


async def test_a_step_that_holds_the_loop_is_seen_with_its_work() -> None:
    watch = Watch()
    async with watch:
        await asyncio.sleep(0.01)
        work(4 * LIMIT_S)
        await asyncio.sleep(0.01)
    seen = watch.result()
    assert seen.longest >= 3 * LIMIT_S
    assert seen.longest_work >= 3 * LIMIT_S
    assert seen.over_limit >= 1
    assert seen.turns > 2


async def test_a_thread_at_work_and_what_is_done_outside_are_no_work_of_the_loop() -> None:
    watch = Watch()
    async with watch:
        await asyncio.to_thread(work, 10 * LIMIT_S)
    work(10 * LIMIT_S)
    await asyncio.sleep(0.01)
    assert watch.result().longest_work < 5 * LIMIT_S


@pytest.mark.parametrize("name", SCENES)
def test_each_scene_runs_beside_an_idle_loop(name: str) -> None:
    played = run_scene(name, SCENES[name][0], SMALL)
    assert played.loop.turns > 0
    assert played.control.turns > 0


@pytest.mark.parametrize(
    ("play", "method"), [(stalls.worker_visits, "user_offline"), (stalls.instance_visits, "drop_instance")]
)
async def test_who_should_be_gone_and_is_not_gives_no_figures(
    play: Play, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Keeps:
        """An engine that never lets anyone go."""

        def __init__(self, **options: Any) -> None:
            self.engine = Engine(**options)

        def __getattr__(self, name: str) -> object:
            return (lambda *_: 0) if name == method else getattr(self.engine, name)

    monkeypatch.setattr("services.fan_out.worker.Engine", Keeps)
    monkeypatch.setattr("services.notification.registry.Engine", lambda **options: Keeps(**options).engine)
    monkeypatch.setattr("services.notification.subscriptions.Subscriptions._drop_user", lambda *_: None)
    monkeypatch.setattr(stalls, "WITHIN_S", 5.0)
    with pytest.raises(BenchError, match="the visitor"):
        await play(SMALL, EagerLeader())


def test_a_target_is_judged_where_the_machine_stood_by_alone() -> None:
    for options, played, met in (
        (StallsOptions(), Scene(STEADY, STEADY), True),
        (StallsOptions(), Scene(STOOD_STILL, STEADY), False),
        (StallsOptions(), Scene(STOOD_STILL, STOOD_STILL), None),
        (StallsOptions(10, 10), Scene(STOOD_STILL, STEADY), None),
    ):
        stall, work_of_a_turn = targets(options, "a scene", played)
        assert stall.met is met
        assert ("the idle loop beside it 30 ms" in stall.measured) is (played.control is STOOD_STILL)
        assert work_of_a_turn.met is (None if options.users == 10 else played.loop is STEADY)
