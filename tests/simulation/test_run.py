import asyncio
import gc
import logging
import sys
from pathlib import Path

import msgspec
import pytest

from tests.simulation import run
from tests.simulation.plan import Action, Fault
from tests.simulation.run import REST_WITHIN_S, simulate
from tests.simulation.story import story
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
    assert [entry.what for entry in history.of("all mended", "at rest")] == ["at rest", "all mended", "at rest"]


def test_the_same_plan_gives_the_same_history_and_another_seed_another_one() -> None:
    first, again = simulate(PLAN), simulate(PLAN)
    assert (first.digest, first.steps, first.seconds) == (again.digest, again.steps, again.seconds)
    assert first.history.entries == again.history.entries
    assert simulate(msgspec.structs.replace(PLAN, seed=2)).digest != first.digest


def test_a_tier_that_does_not_come_to_rest_breaks_a_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    at_rest = run.unrest
    looks = 0

    async def unrest(*args: object) -> list[str]:
        nonlocal looks
        looks += 1
        return (await at_rest(*args)) or (["ann sulks"] if looks > 5 else [])  # type: ignore[arg-type]

    monkeypatch.setattr(run, "unrest", unrest)
    plan = msgspec.structs.replace(PLAN, faults=[])
    looks = 5 - 2
    outcome = simulate(plan)
    assert [broken.promise for broken in outcome.broken] == ["rest"]
    assert f"{REST_WITHIN_S:g} s after" in outcome.broken[0].what or "after the start" in outcome.broken[0].what
    assert outcome.broken[0].what.endswith("the tier is not at rest: ann sulks")


def test_a_run_in_which_nothing_is_left_to_happen_breaks_a_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait(_self: object) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(run._Director, "direct", wait)
    (broken,) = simulate(PLAN).broken
    assert broken.promise == "rest"
    assert broken.what.startswith("nothing could run any more")


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
