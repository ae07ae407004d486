import msgspec
import pytest

from tests.simulation.drawing import drawn
from tests.simulation.drawn_conversations import with_conversations
from tests.simulation.plan import ACTIVE_S, GUEST, MARKS, REPLIES, Action, Fault, Plan, Shape

PLANS = [drawn(seed) for seed in range(1, 401)]
ACTIONS = [(action, plan) for plan in PLANS for action in plan.actions]


def test_what_is_drawn_follows_from_the_seed_and_changes_nothing_else() -> None:
    faults, posts = [Fault(5.0, "kill", "worker1")], [Action(2.0, "post", "ann", "room1"), Action(1.0, "connect", "d")]
    plan = Plan(7, Shape(), {"d": "ann"}, {"room1": ["ann", "bob"]}, posts, faults)
    drawn_twice = [with_conversations(plan) for _ in range(2)]
    assert drawn_twice[0] == drawn_twice[1]
    kept = [msgspec.structs.replace(action, mentions=[]) for action in drawn_twice[0].actions]
    assert kept[:2] == posts
    assert drawn_twice[0].faults[0] == faults[0]
    others = [with_conversations(msgspec.structs.replace(plan, seed=seed)) for seed in range(20)]
    assert len({msgspec.json.encode(msgspec.structs.replace(other, seed=0)) for other in others}) > 15


@pytest.mark.parametrize("what", [*REPLIES, *MARKS, "remove", "list", "read thread"])
def test_each_thing_is_done_while_people_act(what: str) -> None:
    done = [action for action, _ in ACTIONS if action.what == what]
    assert len(done) > 10
    assert all(0.0 <= action.at <= ACTIVE_S for action in done)


def test_some_replies_are_sent_to_the_channel_too_and_some_mention_somebody() -> None:
    replies = [action for action, _ in ACTIONS if action.what == "reply"]
    assert {action.also for action in replies} == {True, False}
    assert {len(action.mentions) for action in replies} == {0, 1}
    assert {action.nth for action in replies} > {0, 1, 5}


def test_those_who_are_mentioned_are_users_of_the_plan() -> None:
    for action, plan in ACTIONS:
        everybody = {user for members in plan.channels.values() for user in members} | {*plan.devices.values()}
        assert everybody.issuperset(action.mentions)
        if GUEST in action.mentions:
            assert GUEST in plan.channels[action.channel]


def test_the_creator_removes_another_member_of_a_channel_that_several_devices_share() -> None:
    for action, plan in ACTIONS:
        if action.what == "remove":
            assert action.channel in plan.shared()
            assert action.who == plan.channels[action.channel][0]
            assert action.whom in plan.channels[action.channel][1:]


def test_some_of_those_who_were_removed_are_invited_again_by_the_creator() -> None:
    again = {
        (plan.seed, action.channel, action.whom)
        for action, plan in ACTIONS
        if action.what == "invite" and action.who == plan.channels.get(action.channel, [""])[0]
    }
    removed = {(plan.seed, action.channel, action.whom) for action, plan in ACTIONS if action.what == "remove"}
    assert 0.4 < len(removed & again) / len(removed) < 0.95


def test_devices_mark_channels_of_their_users() -> None:
    for action, plan in ACTIONS:
        if action.what in MARKS:
            members = plan.channels.get(action.channel, [])
            assert plan.devices[action.who] in members or action.channel == "room1"


def test_in_some_plans_every_writer_is_late_at_the_same_time_and_in_none_without_another_fault() -> None:
    late = 0
    for plan in PLANS:
        of_writers = [fault for fault in plan.faults if fault.on.startswith("writer")]
        together = {(fault.at, fault.what) for fault in of_writers}
        late += any(len([f for f in of_writers if (f.at, f.what) == one]) == plan.shape.writers for one in together)
    assert late > 20
    assert any(not plan.faults for plan in PLANS)
