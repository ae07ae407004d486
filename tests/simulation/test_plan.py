"""The plan of a run, as it is written to a file."""

import msgspec

from tests.simulation.drawing import drawn
from tests.simulation.plan import GUEST, Plan, Shape

PLANS = [drawn(seed) for seed in range(1, 31)]


def test_a_plan_is_the_same_after_it_was_written_to_a_file() -> None:
    for plan in PLANS:
        assert msgspec.json.decode(msgspec.json.format(msgspec.json.encode(plan)), type=Plan) == plan


def test_the_processes_have_names_by_their_kind() -> None:
    plan = Plan(1, Shape(gateways=1, workers=2, instances=3, writers=1), {}, {}, [], [])
    names = ["gateway1", "worker1", "worker2", "instance1", "instance2", "instance3", "writer1", "receipts1"]
    assert plan.processes() == names


def test_its_processes_and_channels_are_known_by_kind() -> None:
    plan = Plan(1, Shape(workers=2, instances=1), {"ann-desk": "ann"}, {"room1": ["ann", "bob"]}, [], [])
    assert plan.of_kind("worker", "instance") == ["worker1", "worker2", "instance1"]
    own = plan.with_own_rooms()
    assert own.channels == {"room1": ["ann", "bob"], "own-ann": ["ann", GUEST]}
    assert own.shared() == ["room1"]
