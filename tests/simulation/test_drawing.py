"""What is drawn for a run."""

from pathlib import Path

import msgspec
import pytest

from tests.simulation import faults
from tests.simulation.drawing import _KINDS, drawn
from tests.simulation.plan import (
    ACTIVE_S,
    CHANGES,
    FIRST_FAULT_S,
    GUEST,
    LEAST_SLOW_S,
    MARKS,
    MOST_SLOW_S,
    REPLIES,
    SERVERS,
)

SEEDS = range(1, 1001)
PLANS = [drawn(seed) for seed in SEEDS]


def test_the_plan_of_a_seed_is_always_the_same() -> None:
    assert [drawn(seed) for seed in SEEDS] == PLANS
    assert len({msgspec.json.encode(plan) for plan in PLANS}) == len(PLANS)


@pytest.mark.parametrize("kind", sorted(set(_KINDS)))
def test_each_kind_of_fault_is_drawn_and_strikes_what_exists(kind: str) -> None:
    struck = [(fault, plan) for plan in PLANS for fault in plan.faults if fault.what == kind]
    assert struck
    for fault, plan in struck:
        servers = {"away", "stand still", "empty", "refuse", "lose newest", "another"}
        can_jump = ("nats", "stores") if kind == "clock jumps" else ()
        if kind == "deploy":
            assert not fault.on
        else:
            assert fault.on in (SERVERS if kind in servers else (*plan.processes(), *can_jump))
        if kind in {"cut", "stall", "slow"}:
            assert fault.to in SERVERS
        if kind.startswith("isolate"):
            assert not fault.to
            assert 0.5 <= fault.seconds <= 14.0
        if kind in {"lose newest", "another"}:
            assert (fault.on, fault.to in {"MESSAGES", "META"}) == ("nats", True)
        assert (fault.amount > 0) == (kind == "lose newest") or kind == "clock jumps"


def test_the_clocks_of_processes_and_of_servers_jump_to_either_side() -> None:
    jumps = [(fault.on, fault.amount > 0) for plan in PLANS for fault in plan.faults if fault.what == "clock jumps"]
    assert {("nats", True), ("nats", False), ("stores", True), ("stores", False)} < set(jumps)
    assert {ahead for on, ahead in jumps if on not in SERVERS} == {True, False}
    assert all(fault.amount for plan in PLANS for fault in plan.faults if fault.what == "clock jumps")


def test_workers_are_isolated_more_often_than_other_processes() -> None:
    isolated = [(fault.on, plan) for plan in PLANS for fault in plan.faults if fault.what.startswith("isolate")]
    shares = [(plan.shape.workers, len(plan.processes())) for _, plan in isolated]
    expected = sum(2 * workers / (processes + workers) for workers, processes in shares)
    assert sum(on.startswith("worker") for on, _ in isolated) == pytest.approx(expected, rel=0.2)


def test_faults_come_in_order_once_the_tier_has_started() -> None:
    for plan in PLANS:
        times = [fault.at for fault in plan.faults]
        assert times == sorted(times)
        assert all(FIRST_FAULT_S <= at <= ACTIVE_S for at in times)
        assert all(fault.seconds > 0.0 for fault in plan.faults)


def test_every_kind_of_fault_is_one_that_can_strike() -> None:
    source = Path(faults.__file__).read_text()
    assert all(f'"{kind}": self.' in source for kind in _KINDS)


def test_some_connections_are_slow_from_the_beginning() -> None:
    for plan in PLANS:
        assert set(plan.slow) <= {f"{process} {server}" for process in plan.processes() for server in SERVERS}
    assert any(not plan.slow for plan in PLANS)


@pytest.mark.parametrize("server", SERVERS)
def test_slow_connections_differ_by_all_that_the_tier_can_bear(server: str) -> None:
    links = [(link, seconds) for plan in PLANS for link, seconds in plan.slow.items() if link.endswith(server)]
    slow = sorted(seconds for _, seconds in links)
    middle = (LEAST_SLOW_S * MOST_SLOW_S[server]) ** 0.5
    assert len(set(slow)) == len(slow)
    assert LEAST_SLOW_S <= slow[0] < 1.2 * LEAST_SLOW_S
    assert 0.8 * MOST_SLOW_S[server] < slow[-1] <= MOST_SLOW_S[server]
    # Those of the other processes are slower in coincidences.
    quicker = [seconds < middle for link, seconds in links if link.startswith(("gateway2", "writer"))]
    assert sum(quicker) / len(quicker) == pytest.approx(0.5, abs=0.1)


def test_in_half_of_the_plans_each_user_has_a_room_that_nobody_elses_device_is_in() -> None:
    own = [plan for plan in PLANS if any(GUEST in members for members in plan.channels.values())]
    assert len(PLANS) * 0.45 < len(own) < len(PLANS) * 0.7
    for plan in own:
        rooms = {channel: members for channel, members in plan.channels.items() if GUEST in members}
        users = set(plan.devices.values())
        assert GUEST not in users
        assert users <= {member for members in rooms.values() for member in members}
        assert all(len(members) == 2 for members in rooms.values())
        acts = [action for action in plan.actions if action.channel in rooms and action.what != "create"]
        assert all(action.who in rooms[action.channel] for action in acts if action.what not in {"type", *MARKS})
        assert all(action.whom in rooms[action.channel] for action in acts if action.what == "invite")
    posts = [action for plan in own for action in plan.actions if action.channel.startswith("own-")]
    assert {action.what for action in posts} >= {"post", "leave", "join"}


def test_people_do_what_they_can_with_what_exists() -> None:
    devices_do = {"connect", "disconnect", "lose network", "stop reading", "type", *MARKS}
    users_do = {"post", "list", "read thread", *REPLIES, *CHANGES}
    done = set()
    for plan in PLANS:
        users = set(plan.devices.values()) | {user for members in plan.channels.values() for user in members}
        assert [action.at for action in plan.actions] == sorted(action.at for action in plan.actions)
        for action in plan.actions:
            done.add(action.what)
            assert 0.0 <= action.at <= ACTIVE_S + 10.0
            if action.what in devices_do:
                assert action.who in plan.devices
            if action.what == "create":
                assert action.channel.startswith("new")
            elif action.channel:
                assert action.channel in plan.channels or action.channel.startswith("new")
        assert {action.who for action in plan.actions if action.what == "connect"} == set(plan.devices)
        assert users
    assert done == devices_do | users_do


def test_the_first_members_are_different_users() -> None:
    for plan in PLANS:
        assert all(len(set(members)) == len(members) >= 2 for members in plan.channels.values())


def test_shapes_and_runs_without_a_fault_are_drawn_too() -> None:
    shapes = [plan.shape for plan in PLANS]
    assert {shape.workers for shape in shapes} == {1, 2, 3}
    assert {shape.instances for shape in shapes} == {1, 2, 3}
    assert {shape.partitions for shape in shapes} == {1, 2, 3}
    assert {shape.snapshots for shape in shapes} == {True, False}
    assert {shape.lose_ack > 0 for shape in shapes} == {True, False}
    assert {shape.skew_s for shape in shapes} == {0.0, 0.2, 2.0}
    assert any(not plan.faults for plan in PLANS)
    assert any(len(plan.faults) > 4 for plan in PLANS)
