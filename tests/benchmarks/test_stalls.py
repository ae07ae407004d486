"""`fanout bench stalls`: it sees a loop that stands still, and refuses figures of what had no effect."""

import asyncio
import time
from collections.abc import Callable

import pytest

from benchmarks.cases.stalls import FULL_CHANNELS, FULL_USERS, StallsOptions, targets
from benchmarks.live.stalls import instance as instance_scene
from benchmarks.live.stalls import worker as worker_scene
from benchmarks.live.stalls.loop_lag import LIMIT_S, Stalls, watched
from benchmarks.live.stalls.scenes import SCENES, Scene, scene
from benchmarks.live.stalls.stores import StallsSettings, WrongOutcomeError, channel_name, until
from benchmarks.processes import Leader
from fanout import Engine

SMALL = StallsSettings(users=40, channels=50, rounds=1)
STEADY = Stalls(turns=1_000, p999=0.001, longest=0.002, over_limit=0, longest_work=0.001)
STOOD_STILL = Stalls(turns=1_000, p999=0.02, longest=0.03, over_limit=9, longest_work=0.029)


class EagerLeader(Leader):
    """A benchmark that lets a scene go on at once."""

    def __init__(self) -> None:
        pass

    def send(self, message: object) -> None:
        pass

    async def receive_async(self) -> None:
        pass


async def test_a_step_that_holds_the_loop_is_seen_with_its_work() -> None:
    async with watched() as watch:
        await asyncio.sleep(0.01)
        end = time.thread_time() + 4 * LIMIT_S
        while time.thread_time() < end:
            pass
        await asyncio.sleep(0.01)
    seen = watch.result()
    assert seen.longest >= 3 * LIMIT_S
    assert seen.longest_work >= 3 * LIMIT_S
    assert seen.over_limit >= 1
    assert seen.turns > 2


async def test_a_thread_at_work_is_no_work_of_the_loop() -> None:
    def work() -> None:
        end = time.thread_time() + 10 * LIMIT_S
        while time.thread_time() < end:
            pass

    async with watched() as watch:
        await asyncio.to_thread(work)
    assert watch.result().longest_work < 5 * LIMIT_S


@pytest.mark.parametrize("name", SCENES)
def test_each_scene_runs_beside_an_idle_loop(name: str) -> None:
    played = scene(name, SMALL)
    assert played.loop.turns > 0
    assert played.control.turns > 0


@pytest.mark.parametrize(
    ("play", "method"),
    [
        (worker_scene.worker_visits, "user_offline"),
        (instance_scene.instance_visits, "drop_instance"),
    ],
)
def test_who_should_be_gone_and_is_not_gives_no_figures(
    play: Callable[[StallsSettings, Leader], Stalls],
    method: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Keeps:
        """An engine that never lets anyone go."""

        def __init__(self, **options: int) -> None:
            self.engine = Engine(**options)

        def __getattr__(self, name: str) -> object:
            return (lambda *_: 0) if name == method else getattr(self.engine, name)

    monkeypatch.setattr("services.fan_out.worker.Engine", Keeps)
    monkeypatch.setattr("services.notification.registry.Engine", lambda **options: Keeps(**options).engine)
    monkeypatch.setattr("services.notification.subscriptions.Subscriptions._drop_user", lambda *_: None)
    monkeypatch.setattr(worker_scene, "until", _impatient)
    with pytest.raises(WrongOutcomeError):
        play(SMALL, EagerLeader())


async def _impatient(holds: Callable[[], bool], what: str) -> None:
    await until(holds, what, within_s=5.0)


def test_a_target_is_judged_where_the_machine_stood_by_alone() -> None:
    full = StallsOptions(FULL_USERS, FULL_CHANNELS)
    for options, played, met in (
        (full, Scene(STEADY, STEADY), True),
        (full, Scene(STOOD_STILL, STEADY), False),
        (full, Scene(STOOD_STILL, STOOD_STILL), None),
        (full, Scene(STEADY, STOOD_STILL), None),
        (StallsOptions(10, 10), Scene(STOOD_STILL, STEADY), None),
    ):
        assert targets(options, "a scene", played)[0].met is met


def test_what_the_idle_loop_saw_stands_beside_where_it_is_not_judged() -> None:
    target, _ = targets(StallsOptions(), "a scene", Scene(STEADY, STOOD_STILL))
    assert target.measured == "2 ms; the idle loop beside it 30 ms"


def test_names_of_channels_are_different_and_in_no_order() -> None:
    names = [channel_name(number) for number in range(1_000)]
    assert len(set(names)) == 1_000
    assert names != sorted(names)
