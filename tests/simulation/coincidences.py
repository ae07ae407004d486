"""What has to come together for a fault of the product to be seen, and seldom does by chance."""

from typing import Final

import msgspec

from tests.simulation.hosts import Draw
from tests.simulation.plan import ACTIVE_S, FIRST_FAULT_S, GUEST, MOST_SLOW_S, Action, Fault, Plan, slowness


def _full_redis(draw: Draw, plan: Plan) -> Plan:
    """Nothing goes wrong, but Redis refuses writes for much longer than a lease lasts."""
    refuse = Fault(draw.between(FIRST_FAULT_S, 8.0), "refuse", "redis", "", draw.between(18.0, 24.0))
    return msgspec.structs.replace(plan, faults=[refuse], slow={})


def _unread_loss(draw: Draw, plan: Plan) -> Plan:
    """The log loses a change of a membership that a process has not read, and keeps the change before it."""
    process = draw.choice(plan.of_kind("worker", "instance"))
    at, channel = draw.between(FIRST_FAULT_S + 3.0, ACTIVE_S - 5.0), draw.choice(plan.shared())
    kept, lost = draw.sample(plan.channels[channel], 2)
    leaves = [Action(at - draw.between(0.5, 3.0), "leave", kept, channel), Action(at + 0.5, "leave", lost, channel)]
    what = draw.choice(("cut", "stall", "pause", "kill"))
    behind = Fault(at, what, process, "nats" if what in {"cut", "stall"} else "", draw.between(3.0, 8.0))
    loss = Fault(at + draw.between(0.6, 2.0), "lose newest", "nats", "META", draw.between(0.1, 2.0), 1)
    return msgspec.structs.replace(plan, actions=[*plan.actions, *leaves], faults=[*plan.faults, behind, loss])


def _unplaced_arrival(draw: Draw, plan: Plan) -> Plan:
    """A user connects for the first time while no worker has the membership store, and so none can place the user."""
    plan = msgspec.structs.replace(plan, devices=plan.devices | {"late-desk": "late"}).with_own_rooms()
    at = draw.between(FIRST_FAULT_S + 2.0, ACTIVE_S - 12.0)
    what, seconds = draw.choice(("cut", "stall")), draw.between(8.0, 14.0)
    cuts = [Fault(at, what, worker, "stores", seconds) for worker in plan.of_kind("worker")]
    actions = [Action(at + draw.between(0.1, 2.0), "connect", "late-desk")]
    actions += _guest_posts(draw, ["late"], at + 5.0, at + 8.0, 3)
    return msgspec.structs.replace(plan, actions=plan.actions + actions, faults=plan.faults + cuts)


def _guest_posts(draw: Draw, users: list[str], begin: float, end: float, count: int) -> list[Action]:
    """Messages of a time to users, each in a room of their own."""
    return [Action(draw.between(begin, end), "post", GUEST, f"own-{draw.choice(users)}") for _ in range(count)]


def _changes_at_a_start(draw: Draw, plan: Plan) -> Plan:
    """A worker starts without a snapshot, and the memberships of a user who is connected change meanwhile."""
    at, device = draw.between(FIRST_FAULT_S + 2.0, ACTIVE_S - 8.0), draw.choice(list(plan.devices))
    user, channel = plan.devices[device], draw.choice(plan.shared())
    times = sorted(draw.between(at + 0.2, at + 4.0) for _ in range(6))
    changes = [Action(when, what, user, channel) for when, what in zip(times, ("leave", "join") * 3, strict=True)]
    kill = Fault(at, "kill", draw.choice(plan.of_kind("worker")), "", draw.between(0.2, 1.0))
    return msgspec.structs.replace(
        plan,
        shape=msgspec.structs.replace(plan.shape, snapshots=False),
        actions=[*plan.actions, Action(at - 2.0, "connect", device), *changes[draw.below(3) :]],
        faults=[*plan.faults, kill],
    )


def _crowded(plan: Plan) -> Plan:
    """One instance with six more users, at least two workers, and no faults: what comes then strikes few users."""
    more = {f"more{number}-desk": f"more{number}" for number in range(1, 7)}
    shape = msgspec.structs.replace(plan.shape, workers=max(2, plan.shape.workers), instances=1)
    return msgspec.structs.replace(plan, shape=shape, devices=plan.devices | more, faults=[], slow={}).with_own_rooms()


def _arrivals_after_silence(draw: Draw, plan: Plan) -> Plan:
    """An instance has no bus for some seconds, and users come within the second after. The stores of a worker are slow.

    The instance hears one worker before the other ones.
    """
    plan = _crowded(plan)
    at, seconds = draw.between(FIRST_FAULT_S + 2.0, ACTIVE_S - 10.0), draw.between(2.0, 4.0)
    back, what = at + seconds, draw.choice(("cut", "isolate"))
    silence = Fault(at, what, "instance1", "nats" if what == "cut" else "", seconds)
    slow = {f"{draw.choice(plan.of_kind('worker'))} stores": slowness(draw, "stores", 0.1)}
    actions = _guest_posts(draw, list(plan.devices.values()), back, back + 3.0, 60)
    for device in plan.devices:
        actions.append(Action(at - draw.between(0.5, 1.0), "disconnect", device))
        actions.append(Action(back + draw.between(0.1, 1.0), "connect", device))
    return msgspec.structs.replace(plan, actions=plan.actions + actions, faults=[silence], slow=slow)


def _quick_returns(draw: Draw, plan: Plan) -> Plan:
    """Users leave as soon as they are admitted, and come again at once. The connection of the instance to NATS is slow.

    What a worker confirms of the first arrival reaches the instance after the second one.
    """
    plan = _crowded(plan)
    at = draw.between(FIRST_FAULT_S, ACTIVE_S - 10.0)
    actions = _guest_posts(draw, list(plan.devices.values()), at + 1.0, at + 5.0, 80)
    for device in plan.devices:
        comes = at + draw.between(0.0, 1.0)
        goes = comes + draw.between(0.7, 2.0)
        actions += [Action(at - 1.0, "disconnect", device), Action(comes, "connect", device)]
        actions += [Action(goes, "disconnect", device), Action(goes + draw.between(0.05, 0.4), "connect", device)]
    slow = {"instance1 nats": draw.between(0.3, MOST_SLOW_S["nats"])}
    return msgspec.structs.replace(plan, actions=plan.actions + actions, slow=slow)


def _unapplied_membership(draw: Draw, plan: Plan) -> Plan:
    """A user is invited to a channel while no worker can apply changes of memberships, and then connects again.

    The workers know the other channels of the user, so they need no store to place the user.
    """
    plan = plan.with_own_rooms()
    at, device = draw.between(FIRST_FAULT_S + 2.0, ACTIVE_S - 12.0), draw.choice(list(plan.devices))
    user, what, seconds = plan.devices[device], draw.choice(("cut", "stall")), draw.between(6.0, 10.0)
    cuts = [Fault(at, what, worker, "stores", seconds) for worker in plan.of_kind("worker")]
    # What blocks the worker is a change of which only the store knows whether it is the newest.
    others = [Action(at + 0.2, "leave", user, channel) for channel in plan.shared() if user in plan.channels[channel]]
    actions = [Action(at - 2.0, "connect", device), *others, Action(at + 0.5, "create", GUEST, "newguest", user)]
    actions += [Action(at + 1.0, "disconnect", device), Action(at + draw.between(1.2, 2.0), "connect", device)]
    actions += [Action(draw.between(at + 2.0, at + 6.0), "post", GUEST, "newguest") for _ in range(6)]
    return msgspec.structs.replace(plan, actions=plan.actions + actions, faults=plan.faults + cuts)


def _slow_group(draw: Draw, plan: Plan) -> Plan:
    """Two workers have slow connections to NATS. While one is paused NATS is away, so each has lost the other."""
    plan = msgspec.structs.replace(plan, shape=msgspec.structs.replace(plan.shape, workers=2, partitions=2))
    workers = plan.of_kind("worker")
    slow = {f"{worker} nats": draw.between(0.1, 0.2) for worker in workers}
    at = draw.between(FIRST_FAULT_S, ACTIVE_S - 10.0)
    pause = Fault(at, "pause", draw.choice(workers), "", draw.between(4.0, 6.0))
    away = Fault(at + draw.between(1.0, 2.0), "away", "nats", "", draw.between(0.5, 1.5))
    return msgspec.structs.replace(plan, faults=[pause, away], slow=slow)


def _changes_out_of_order(draw: Draw, plan: Plan) -> Plan:
    """Users leave and join again at once, and one of two gateways publishes late: the log has the joining first."""
    plan = msgspec.structs.replace(plan, shape=msgspec.structs.replace(plan.shape, gateways=2), faults=[])
    actions = []
    for _ in range(8):
        at, channel = draw.between(FIRST_FAULT_S, ACTIVE_S - 2.0), draw.choice(plan.shared())
        user = draw.choice(plan.channels[channel])
        actions += [Action(at, "leave", user, channel), Action(at + draw.between(0.1, 0.5), "join", user, channel)]
    slow = {"gateway1 nats": draw.between(0.3, MOST_SLOW_S["nats"])}
    return msgspec.structs.replace(plan, actions=plan.actions + actions, slow=slow)


def _lost_hints(draw: Draw, plan: Plan) -> Plan:
    """The connection of a worker to NATS breaks for less than a second, and users leave meanwhile for good.

    The worker does not hear that they left, and the break is too short for it to load the presence sets again.
    """
    plan = _crowded(plan)
    at, seconds = draw.between(FIRST_FAULT_S + 2.0, ACTIVE_S - 2.0), draw.between(0.3, 0.9)
    actions = list(plan.actions)
    for device in (device for device in plan.devices if device.startswith("more")):
        actions.append(Action(at - draw.between(2.0, 4.0), "connect", device))
        actions.append(Action(at + draw.between(0.0, seconds), "disconnect", device))
    cut = Fault(at, "cut", draw.choice(plan.of_kind("worker")), "nats", seconds)
    return msgspec.structs.replace(plan, actions=actions, faults=[cut])


COINCIDENCES: Final = (
    _full_redis,
    _unread_loss,
    _unplaced_arrival,
    _changes_at_a_start,
    _arrivals_after_silence,
    _quick_returns,
    _unapplied_membership,
    _slow_group,
    _changes_out_of_order,
    _lost_hints,
)
"""What has to come together for a fault of the product to be seen, and seldom does by chance."""
