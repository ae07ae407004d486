"""What comes together in some of the plans."""

from fanout.keys import LEASE_TTL_S
from tests.simulation.drawing import drawn
from tests.simulation.plan import GUEST, Plan

PLANS = [drawn(seed) for seed in range(1, 1001)]


def test_in_some_plans_only_a_redis_that_refuses_writes_for_long_goes_wrong() -> None:
    alone = [plan for plan in PLANS if [(fault.what, fault.on) for fault in plan.faults] == [("refuse", "redis")]]
    assert any(plan.faults[0].seconds > 1.5 * LEASE_TTL_S and not plan.slow for plan in alone)


def test_in_some_plans_a_process_is_behind_when_the_log_loses_a_change_and_keeps_the_one_before() -> None:
    def is_lost_unread(plan: Plan) -> bool:
        losses = [fault for fault in plan.faults if (fault.what, fault.to, fault.amount) == ("lose newest", "META", 1)]
        leaves = [action.at for action in plan.actions if action.what == "leave"]
        return any(
            behind.at < left < loss.at < behind.at + behind.seconds and any(before < behind.at for before in leaves)
            for loss in losses
            for behind in plan.faults
            for left in leaves
            if behind.on.startswith(("worker", "instance"))
        )

    assert sum(map(is_lost_unread, PLANS)) > len(PLANS) // 50


def test_in_some_plans_a_user_connects_first_while_no_worker_has_the_store_and_a_guest_posts_after_it() -> None:
    def is_met(plan: Plan) -> bool:
        workers = {name for name in plan.processes() if name.startswith("worker")}
        cuts = [fault for fault in plan.faults if fault.to == "stores" and fault.seconds >= 8.0]
        posts = [action.at for action in plan.actions if (action.who, action.channel) == (GUEST, "own-late")]
        comes = [action.at for action in plan.actions if (action.what, action.who) == ("connect", "late-desk")]
        return any(
            {fault.on for fault in cuts if fault.at == cut.at} == workers
            and any(cut.at < came < cut.at + 2.0 for came in comes)
            and any(cut.at + 5.0 <= at <= cut.at + 8.0 for at in posts)
            for cut in cuts
        )

    assert sum(map(is_met, PLANS)) > len(PLANS) // 50


def test_in_some_plans_a_worker_starts_without_a_snapshot_while_a_user_comes_and_goes_in_a_channel() -> None:
    def is_met(plan: Plan) -> bool:
        changes = [action.at for action in plan.actions if action.what in {"leave", "join"}]
        return not plan.shape.snapshots and any(
            sum(kill.at + 0.2 <= at <= kill.at + 4.0 for at in changes) > 3
            for kill in plan.faults
            if kill.what == "kill" and kill.on.startswith("worker")
        )

    assert sum(map(is_met, PLANS)) > len(PLANS) // 50


def _come(plan: Plan, begin: float, end: float) -> set[str]:
    """The users of whom a device connects in a time."""
    connects = [action for action in plan.actions if action.what == "connect"]
    return {plan.devices[action.who] for action in connects if begin < action.at < end}


def test_in_some_plans_users_come_within_a_second_after_an_instance_had_no_bus_and_a_worker_is_slow() -> None:
    def is_met(plan: Plan) -> bool:
        return plan.shape.workers > 1 and any(
            2.0 <= fault.seconds <= 4.0
            and (fault.what, fault.to) in {("cut", "nats"), ("isolate", "")}
            and fault.on.startswith("instance")
            and len(_come(plan, fault.at + fault.seconds, fault.at + fault.seconds + 1.0)) > 6
            and any(link.endswith("stores") and seconds >= 0.1 for link, seconds in plan.slow.items())
            for fault in plan.faults
        )

    assert sum(map(is_met, PLANS)) > len(PLANS) // 50


def test_in_some_plans_users_leave_and_return_at_once_on_an_instance_with_a_slow_bus() -> None:
    def is_met(plan: Plan) -> bool:
        goes = {(action.who, action.at) for action in plan.actions if action.what == "disconnect"}
        returns = [
            came
            for came in plan.actions
            if came.what == "connect" and any(who == came.who and 0.05 <= came.at - at <= 0.4 for who, at in goes)
        ]
        return plan.slow.get("instance1 nats", 0.0) >= 0.3 and len(returns) > 6

    assert sum(map(is_met, PLANS)) > len(PLANS) // 50


def test_in_some_plans_a_user_joins_and_connects_again_while_no_worker_can_apply_it() -> None:
    def is_met(plan: Plan) -> bool:
        workers = set(plan.of_kind("worker"))
        joins = [(action.at, action.whom) for action in plan.actions if action.channel == "newguest" and action.whom]
        comes = [(action.at, plan.devices[action.who]) for action in plan.actions if action.what == "connect"]
        cuts = [fault for fault in plan.faults if fault.to == "stores" and fault.seconds >= 6.0]
        return any(
            {cut.on for cut in cuts if cut.at < joined < cut.at + 1.0} == workers
            and any(user == who and joined < came < joined + 2.0 for came, who in comes)
            for joined, user in joins
        )

    assert sum(map(is_met, PLANS)) > len(PLANS) // 50


def test_in_some_plans_a_worker_with_a_slow_bus_is_paused_while_nats_is_away() -> None:
    def is_met(plan: Plan) -> bool:
        slow = [plan.slow.get(f"{worker} nats", 0.0) for worker in plan.of_kind("worker")]
        pauses = [fault for fault in plan.faults if fault.what == "pause" and fault.on.startswith("worker")]
        away = [fault.at for fault in plan.faults if (fault.what, fault.on) == ("away", "nats")]
        return min(slow) >= 0.1 and any(pause.at < at < pause.at + pause.seconds for pause in pauses for at in away)

    assert sum(map(is_met, PLANS)) > len(PLANS) // 50


def test_in_some_plans_users_leave_and_join_at_once_while_a_gateway_publishes_late() -> None:
    def is_met(plan: Plan) -> bool:
        leaves = [(act.who, act.channel, act.at) for act in plan.actions if act.what == "leave"]
        joins = [(act.who, act.channel, act.at) for act in plan.actions if act.what == "join"]
        at_once = [
            join
            for join in joins
            if any(leave[:2] == join[:2] and 0.1 <= join[2] - leave[2] <= 0.5 for leave in leaves)
        ]
        return plan.shape.gateways == 2 and plan.slow.get("gateway1 nats", 0.0) >= 0.3 and len(at_once) >= 8

    assert sum(map(is_met, PLANS)) > len(PLANS) // 50


def test_in_some_plans_users_leave_for_good_while_a_worker_has_no_bus_for_less_than_a_second() -> None:
    def is_met(plan: Plan) -> bool:
        times = [action for action in plan.actions if action.what in {"connect", "disconnect"}]
        last = {action.who: action for action in times}
        goes = [action.at for action in last.values() if action.what == "disconnect"]
        return any(
            sum(cut.at <= gone <= cut.at + cut.seconds for gone in goes) >= 6
            for cut in plan.faults
            if (cut.what, cut.to) == ("cut", "nats") and cut.on.startswith("worker") and cut.seconds < 1.0
        )

    assert sum(map(is_met, PLANS)) > len(PLANS) // 50
