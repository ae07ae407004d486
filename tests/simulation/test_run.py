import asyncio
import gc
import logging
import sys
from pathlib import Path

import msgspec
import pytest

from services.runtime.skipping import skip
from tests.simulation import rest, run
from tests.simulation.catching_up import CatchingUp
from tests.simulation.people import People
from tests.simulation.plan import MOST_SLOW_S, Action, Fault
from tests.simulation.run import CAUGHT_UP_WITHIN_S, READY_WITHIN_S, REST_WITHIN_S, simulate
from tests.simulation.story import story
from tests.simulation.world import World
from tests.support.simulated import SMALL

PLAN = msgspec.structs.replace(
    SMALL,
    actions=[
        Action(1.0, "connect", "ann-phone"),
        Action(5.0, "post", "bob", "room1"),
        Action(8.0, "post", "bob", "room1"),
    ],
    faults=[Fault(7.0, "kill", "worker1")],
)


def test_a_run_does_what_the_plan_says_and_ends_at_rest() -> None:
    outcome = simulate(PLAN)
    assert not outcome.broken, story(outcome)
    assert outcome.plan is PLAN
    assert outcome.seconds > 40.0
    assert outcome.steps > 1_000
    history = outcome.history
    assert [entry.about["message"] for entry in history.of("accepted")] == ["m1", "m2", "m3"]
    begin = history.of("at rest")[0].at
    assert history.of("fault")[0].at - begin == pytest.approx(7.0, abs=0.01)
    assert history.of("posts")[0].at - begin == pytest.approx(5.0, abs=0.01)
    assert [entry.what for entry in history.of("faults ended", "at rest")] == ["at rest", "faults ended", "at rest"]


def test_the_same_plan_gives_the_same_history_and_another_seed_another_one() -> None:
    first, again = simulate(PLAN), simulate(PLAN)
    assert (first.digest, first.steps, first.seconds) == (again.digest, again.steps, again.seconds)
    assert first.history.entries == again.history.entries
    assert simulate(msgspec.structs.replace(PLAN, seed=2)).digest != first.digest


@pytest.mark.parametrize("asks", [1, 3, 100])
def test_a_run_waits_for_devices_that_read_the_history(monkeypatch: pytest.MonkeyPatch, asks: int) -> None:
    asked: list[CatchingUp] = []

    def is_done(self: CatchingUp) -> bool:
        asked.append(self)
        return len(asked) >= asks

    monkeypatch.setattr(CatchingUp, "is_done", property(is_done))
    plan = msgspec.structs.replace(PLAN, faults=[], devices={"ann-phone": "ann"})
    outcome = simulate(plan)
    assert not outcome.broken
    assert len(asked) == asks
    monkeypatch.setattr(CatchingUp, "is_done", property(lambda _: True))
    assert outcome.seconds - simulate(plan).seconds == pytest.approx(asks - 1, abs=0.9)


def test_a_device_that_never_catches_up_breaks_a_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CatchingUp, "is_done", property(lambda _: False))
    (broken,) = simulate(PLAN).broken
    said = f"{CAUGHT_UP_WITHIN_S} s after the last messages ann-phone has not caught up"
    assert broken == ("caught up", said)


@pytest.mark.parametrize("server", MOST_SLOW_S)
def test_over_the_slowest_connections_the_tier_comes_to_rest_though_later(server: str) -> None:
    slow = {f"{process} {server}": MOST_SLOW_S[server] for process in SMALL.processes()}
    outcome = simulate(msgspec.structs.replace(PLAN, faults=[], slow=slow))
    assert not outcome.broken, story(outcome)


def test_over_slower_connections_to_nats_a_worker_suspends_every_instance() -> None:
    slow = {"worker1 nats": MOST_SLOW_S["nats"] + 0.02}
    [broken] = simulate(msgspec.structs.replace(PLAN, faults=[], slow=slow)).broken
    assert broken.promise == "rest"
    assert f"{REST_WITHIN_S:g} s after the start" in broken.what
    assert "instances that read the log until their presence sets are compared" in broken.what


def broken_rest(monkeypatch: pytest.MonkeyPatch, *, once_active: bool) -> str:
    """What is said of a tier that does not come to rest, from the beginning or once people have acted."""

    async def unrest(world: World, people: People) -> list[str]:
        is_active = bool(world.history.of("posts"))
        return ["ann sulks"] if is_active >= once_active else await rest.unrest(world, people)

    monkeypatch.setattr("tests.simulation.run.unrest", unrest)
    (broken,) = simulate(msgspec.structs.replace(PLAN, faults=[])).broken
    assert broken.promise == "rest"
    return broken.what


def test_a_tier_that_does_not_come_to_rest_breaks_a_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    said = broken_rest(monkeypatch, once_active=True)
    assert said == f"{REST_WITHIN_S:g} s after the last fault the tier is not at rest: ann sulks"


def test_a_tier_that_does_not_start_breaks_a_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    said = broken_rest(monkeypatch, once_active=False)
    assert said == f"{READY_WITHIN_S:g} s after the start the tier is not at rest: ann sulks"


def test_a_run_in_which_nothing_is_left_to_happen_breaks_a_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait(_self: object) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(run._Director, "direct", wait)
    (broken,) = simulate(PLAN).broken
    assert broken.promise == "rest"
    assert broken.what.startswith("nothing could run any more")


def test_what_the_metrics_count_of_errors_breaks_a_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    async def skip_something(_self: object) -> None:
        await asyncio.sleep(0.1)
        skip("test-run", "it is malformed")

    monkeypatch.setattr(run._Director, "direct", skip_something)
    for _ in range(2):
        (broken,) = simulate(PLAN).broken
        assert broken == ("errors", "at 0.10 s the tier: fanout_messages_skipped_total{kind=test-run} counts 1")


def test_a_task_that_failed_unseen_breaks_a_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise KeyError("a")

    async def look(world: World) -> None:
        world.processes["worker1"].failed = world.processes["worker1"].host.start(fail(), "failing")  # type: ignore[attr-defined]
        await asyncio.sleep(0.1)

    monkeypatch.setattr("tests.simulation.run.look", look)
    (broken,) = simulate(msgspec.structs.replace(PLAN, faults=[])).broken
    assert broken.promise == "errors"
    assert broken.what.endswith("worker1: KeyError('a') in fail")


def test_a_run_in_which_the_simulation_fails_raises_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten: list[World] = []

    async def fail(_self: object) -> None:
        raise KeyError("a")

    monkeypatch.setattr(run._Director, "direct", fail)
    monkeypatch.setattr(run, "_forget", forgotten.append)
    with pytest.raises(KeyError):
        simulate(PLAN)
    assert len(forgotten) == 1


def test_a_run_leaves_the_interpreter_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    hook, level = sys.unraisablehook, logging.root.manager.disable
    simulate(PLAN)
    assert gc.isenabled()
    assert sys.unraisablehook is hook
    assert logging.root.manager.disable == level
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
