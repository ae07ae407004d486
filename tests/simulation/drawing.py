"""Draws the plan of a seed: all of it follows from the seed."""

from typing import Final

import msgspec

from tests.simulation.coincidences import COINCIDENCES
from tests.simulation.drawn_conversations import with_conversations
from tests.simulation.hosts import Draw
from tests.simulation.plan import ACTIVE_S, FIRST_FAULT_S, GUEST, SERVERS, Action, Fault, Plan, Shape, slowness

_COINCIDENCE: Final = 0.4
"""The share of the plans that have one of `COINCIDENCES`."""


def drawn(seed: int) -> Plan:
    """Draw the plan of a seed."""
    draw = Draw(seed)
    users = [f"user{n}" for n in range(1, 3 + draw.below(3))]
    devices = {f"{user}-{kind}": user for user in users for kind in ("phone", "desk") if draw.happens(0.65)}
    devices = devices or {"user1-phone": "user1"}
    channels = {f"room{n}": draw.sample(users, 2 + draw.below(len(users) - 1)) for n in range(1, 2 + draw.below(3))}
    plan = Plan(seed, _shape(draw), devices, channels, [], [])
    if draw.happens(0.5):
        plan = plan.with_own_rooms()
    slow = _slow_links(draw, plan) if draw.happens(0.4) else {}
    faults = _faults(draw, plan)
    plan = msgspec.structs.replace(plan, actions=_actions(draw, plan, users, faults), faults=faults, slow=slow)
    if draw.happens(_COINCIDENCE):
        plan = draw.choice(COINCIDENCES)(draw, plan)
    plan = with_conversations(plan)
    return msgspec.structs.replace(
        plan,
        actions=sorted(plan.actions, key=lambda action: action.at),
        faults=sorted(plan.faults, key=lambda fault: fault.at),
    )


def _slow_links(draw: Draw, plan: Plan) -> dict[str, float]:
    links = [(process, server) for process in plan.processes() for server in SERVERS]
    return {f"{process} {server}": slowness(draw, server) for process, server in links if draw.happens(0.2)}


def _shape(draw: Draw) -> Shape:
    bumpy = draw.happens(0.3)
    return Shape(
        gateways=1 + draw.below(2),
        workers=1 + draw.below(3),
        instances=1 + draw.below(3),
        writers=1 + draw.below(2),
        partitions=1 + draw.below(3),
        snapshots=draw.happens(0.5),
        redeliver=0.1 if bumpy else 0.0,
        lose_ack=0.1 if bumpy else 0.0,
        skew_s=draw.choice((0.0, 0.0, 0.2, 2.0)),
    )


def _actions(draw: Draw, plan: Plan, users: list[str], faults: list[Fault]) -> list[Action]:
    # Most faults show only in what happens at the same time, so half of all happens close to something else.
    times = [at for fault in faults for at in (fault.at, fault.at, fault.at + fault.seconds)]
    actions = []
    for device in plan.devices:
        actions.append(Action(draw.between(0.0, 4.0), "connect", device))
        actions += _life(draw, device, times)
    times += [action.at for action in actions]
    channels = list(plan.channels)
    for number in range(2 + draw.below(10)):
        channel = draw.choice(channels)
        changes = _changes(draw, _time(draw, times), _people(plan, channel, users), channel, number)
        times += [change.at for change in changes]
        actions += changes
    for _ in range(20 + draw.below(50)):
        long = draw.below(38_000) if draw.happens(0.15) else 0
        channel = draw.choice(channels)
        who = draw.choice(_people(plan, channel, users))
        actions.append(Action(_time(draw, times), "post", who, channel, length=long))
    return actions


def _people(plan: Plan, channel: str, users: list[str]) -> list[str]:
    """Who does something in a channel: only the members in a room of one user, else anyone."""
    members = plan.channels[channel]
    return members if GUEST in members else users


def _time(draw: Draw, times: list[float]) -> float:
    if not times or draw.happens(0.5):
        return draw.between(1.0, ACTIVE_S)
    return min(max(0.5, draw.choice(times) + draw.between(-0.2, 1.0)), ACTIVE_S)


def _life(draw: Draw, device: str, times: list[float]) -> list[Action]:
    """What happens to a device beside being connected."""
    life = []
    for _ in range(draw.below(3)):
        comes = _time(draw, times)
        life.append(Action(max(comes - draw.between(0.1, 8.0), 1.0), "disconnect", device))
        if draw.happens(0.8):
            life.append(Action(comes, "connect", device))
    if draw.happens(0.25):
        life.append(Action(draw.between(3.0, ACTIVE_S), "lose network", device, seconds=draw.between(0.5, 12.0)))
    if draw.happens(0.25):
        life.append(Action(draw.between(3.0, ACTIVE_S), "stop reading", device, seconds=draw.between(1.0, 10.0)))
    if draw.happens(0.2):
        life.append(Action(draw.between(3.0, ACTIVE_S), "type", device, "room1"))
    return life


def _changes(draw: Draw, at: float, users: list[str], channel: str, number: int) -> list[Action]:
    """A change of a membership, or one and its opposite soon after."""
    who, whom = draw.choice(users), draw.choice(users)
    match draw.choice(("join", "leave", "leave and join", "leave and join", "join and leave", "invite", "create")):
        case "create":
            return [Action(at, "create", who, f"new{number}", whom)]
        case "invite":
            return [Action(at, "invite", who, channel, whom)]
        case what:
            soon = draw.choice((draw.between(0.01, 0.3), draw.between(0.3, 4.0)))
            return [Action(at + n * soon, kind, who, channel) for n, kind in enumerate(what.split(" and "))]


def _faults(draw: Draw, plan: Plan) -> list[Fault]:
    count = draw.choice((0, 1, 1, 2, 3, 4, 5, 6, 7))
    faults: list[Fault] = []
    for _ in range(count):
        at = draw.between(FIRST_FAULT_S, ACTIVE_S)
        if faults and draw.happens(0.5):  # together with another one
            at = min(draw.choice(faults).at + draw.between(0.0, 3.0), ACTIVE_S)
        faults.append(_fault(draw, plan, at))
    return faults


def _fault(draw: Draw, plan: Plan, at: float) -> Fault:
    processes = plan.processes()
    process, server, what = draw.choice(processes), draw.choice(SERVERS), draw.choice(_KINDS)
    # Most depends on workers, so they are struck twice as often.
    isolated = draw.choice(processes + plan.of_kind("worker"))
    stream = draw.choice(("MESSAGES", "META"))
    on, to, amount = {
        "clock jumps": (draw.choice((process, process, "nats", "stores")), "", draw.choice((-3, -1, 1, 3, 40))),
        "cut": (process, server, 0),
        "stall": (process, server, 0),
        "slow": (process, server, 0),
        "away": (server, "", 0),
        "stand still": (server, "", 0),
        "isolate": (isolated, "", 0),
        "isolate silently": (isolated, "", 0),
        "refuse": (draw.choice((server, "redis")), "", 0),
        "deploy": ("", "", 0),
        "empty": ("redis", "", 0),
        "another": ("nats", stream, 0),
        "lose newest": ("nats", stream, draw.choice((1, 2, 3, 5, 1000))),
    }.get(what, (process, "", 0))
    return Fault(at, what, on, to, _seconds(draw, what), amount)


def _seconds(draw: Draw, what: str) -> float:
    """How long a fault lasts."""
    if what == "refuse":  # Redis has to refuse for longer than a lease lasts, or nothing is seen of it
        return draw.between(3.0, 18.0)
    if what.startswith("isolate"):
        return draw.between(0.5, 14.0)
    return draw.choice((draw.between(0.1, 3.0), draw.between(2.0, 14.0)))


_KINDS: Final = (
    *(
        "kill",
        "kill",
        "kill",
        "kill without files",
        "remove",
        "deploy",
        "deploy",
        "stop",
        "stop",
        "pause",
        "pause",
        "clock jumps",
    ),
    *("cut", "cut", "cut", "stall", "stall", "slow", "slow", "slow", "isolate", "isolate silently"),
    *("away", "away", "stand still", "empty", "refuse", "refuse", "refuse", "lose newest", "another"),
)
"""Each kind of fault, as often as it is to be drawn."""
