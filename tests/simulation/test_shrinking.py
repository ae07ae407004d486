from collections.abc import Callable

import msgspec
import pytest

from tests.simulation import shrinking
from tests.simulation.evidence import Broken
from tests.simulation.history import History
from tests.simulation.hosts import VirtualTime
from tests.simulation.plan import Action, Fault, Plan, Shape
from tests.simulation.run import Outcome
from tests.simulation.shrinking import MOST_RUNS, shrink

PLAN = Plan(
    1,
    Shape(gateways=2, workers=3, instances=2, writers=2, partitions=3, snapshots=True, lose_ack=0.1, skew_s=2.0),
    {"ann-phone": "ann", "ann-desk": "ann", "bob-phone": "bob"},
    {"room1": ["ann", "bob"]},
    [Action(float(n), "connect", who) for n, who in enumerate(("ann-phone", "ann-desk", "bob-phone"))]
    + [Action(10.0 + n, "post", "ann", "room1") for n in range(12)],
    [Fault(float(n), "kill", f"worker{1 + n % 3}") for n in range(8)],
)
Breaks = Callable[[Plan], list[str]]
"""The promises that a plan breaks."""


class Simulated:
    """Runs no plan, and knows what each breaks."""

    def __init__(self, breaks: Breaks) -> None:
        self.runs = 0
        self._breaks = breaks

    def __call__(self, plan: Plan) -> Outcome:
        self.runs += 1
        broken = [Broken(promise, "it was broken") for promise in self._breaks(plan)]
        return Outcome(plan, History(VirtualTime()), broken, 0.0, 0, "")


def shrunk(monkeypatch: pytest.MonkeyPatch, breaks: Breaks, plan: Plan = PLAN) -> tuple[Outcome, int, list[str]]:
    """What a plan is shrunk to, after how many runs, and what was said meanwhile."""
    simulated = Simulated(breaks)
    monkeypatch.setattr(shrinking, "simulate", simulated)
    said: list[str] = []
    outcome = shrink(simulated(plan), said.append)
    return outcome, simulated.runs - 1, said


def test_plans_with_which_the_simulation_fails_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(plan: Plan) -> list[str]:
        if not plan.actions:
            raise KeyError("a")
        return ["missed"]

    outcome, _, _ = shrunk(monkeypatch, breaks)
    assert (len(outcome.plan.faults), len(outcome.plan.actions)) == (0, 1)


def test_a_failure_that_needs_two_of_eight_faults_is_shrunk_to_these(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = [PLAN.faults[1], PLAN.faults[6]]

    def breaks(plan: Plan) -> list[str]:
        return ["missed"] if all(fault in plan.faults for fault in needed) else []

    outcome, runs, said = shrunk(monkeypatch, breaks)
    assert outcome.plan.faults == needed
    assert outcome.plan.actions == []
    assert outcome.plan.devices == {}
    assert outcome.plan.shape == Shape(gateways=1, workers=2, instances=1, writers=1, partitions=1)
    assert [broken.promise for broken in outcome.broken] == ["missed"]
    assert runs < MOST_RUNS
    assert said[-1].startswith("2 faults, 0 actions, 0 devices")


def test_a_device_that_is_needed_stays_with_what_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(plan: Plan) -> list[str]:
        return ["missed"] if "bob-phone" in plan.devices and PLAN.actions[2] in plan.actions else []

    outcome, _, _ = shrunk(monkeypatch, breaks)
    assert outcome.plan.devices == {"bob-phone": "bob"}
    assert outcome.plan.actions == [PLAN.actions[2]]
    assert outcome.plan.faults == []


def test_a_process_that_a_fault_strikes_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(plan: Plan) -> list[str]:
        assert {fault.on for fault in plan.faults} <= set(plan.processes())
        return ["missed"] if PLAN.faults[2] in plan.faults else []

    outcome, _, _ = shrunk(monkeypatch, breaks)
    assert outcome.plan.faults == [PLAN.faults[2]]
    assert outcome.plan.shape.workers == 3


def test_a_plan_that_breaks_another_promise_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(plan: Plan) -> list[str]:
        return ["missed"] if len(plan.faults) == 8 else ["rest"]

    outcome, _, _ = shrunk(monkeypatch, breaks)
    assert outcome.plan.faults == PLAN.faults


def test_the_first_promise_that_was_broken_is_the_one_that_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(plan: Plan) -> list[str]:
        return ["missed", "told"] if len(plan.faults) == 8 else ["told", "missed"] if len(plan.faults) > 3 else ["told"]

    outcome, _, _ = shrunk(monkeypatch, breaks)
    assert len(outcome.plan.faults) == 4


def test_a_plan_of_which_all_is_needed_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome, _, said = shrunk(monkeypatch, lambda plan: ["missed"] if plan == PLAN else [])
    assert outcome.plan == PLAN
    assert said == []


def test_the_search_ends_after_many_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    many = msgspec.structs.replace(PLAN, actions=[Action(float(n), "post", "ann", "room1") for n in range(400)])
    outcome, runs, _ = shrunk(monkeypatch, lambda plan: ["missed"] if len(plan.actions) == 400 else [], many)
    assert len(outcome.plan.actions) == 400
    assert runs == MOST_RUNS


def test_only_the_slow_connections_that_are_needed_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = {"worker1 redis": 0.4, "worker1 nats": 0.1, "gateway1 stores": 0.02}
    plan = msgspec.structs.replace(PLAN, slow=slow)
    outcome, _, _ = shrunk(monkeypatch, lambda plan: ["missed"] if "worker1 nats" in plan.slow else [], plan)
    assert outcome.plan.slow == {"worker1 nats": 0.1}
