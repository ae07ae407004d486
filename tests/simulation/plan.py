"""The plan of a run: who lives in it, what people do and which faults strike. All of it follows from the seed."""

from typing import Final

import msgspec

from tests.simulation.hosts import Draw

ACTIVE_S: Final = 30.0
"""Seconds in which people act and faults begin."""
FIRST_FAULT_S: Final = 3.0
LEAST_SLOW_S: Final = 0.01
"""The least by which a connection is slower from the beginning, in seconds each way."""
MOST_SLOW_S: Final = {"nats": 0.59, "redis": 0.8, "stores": 0.8}
"""The most, by server. A worker's notice, one each 0.4 s, has to come back by NATS within 1.6 s of the one before."""
GUEST: Final = "guest"
"""A user without a device, who is in the rooms of users that have one of their own."""
_COINCIDENCE: Final = 0.33
"""The share of the plans that have one of `_COINCIDENCES`."""


class Shape(msgspec.Struct, frozen=True):
    """How the tier is set up."""

    gateways: int = 2
    workers: int = 2
    instances: int = 2
    writers: int = 1
    partitions: int = 2
    snapshots: bool = False
    redeliver: float = 0.0
    """Odds that the log delivers an event again at once."""
    lose_ack: float = 0.0
    """Odds that the log loses an acknowledgement."""
    skew_s: float = 0.0
    """Seconds by which the clocks of two processes may differ."""


class Action(msgspec.Struct, frozen=True):
    """Something that a user does."""

    at: float
    what: str
    """`connect`, `disconnect`, `post`, `join`, `leave`, `invite`, `create`, `type`, `stop reading`, `lose network`."""
    who: str
    """A device for `connect`, `disconnect`, `type`, `stop reading` and `lose network`; else a user."""
    channel: str = ""
    whom: str = ""
    """The user who is invited, or is a first member."""
    seconds: float = 0.0
    """How long the device does not read, or has no network."""
    length: int = 0
    """Characters of the message beyond its name."""


class Fault(msgspec.Struct, frozen=True):
    """Something that goes wrong."""

    at: float
    what: str
    """A name in `tests.simulation.faults`."""
    on: str
    """A process or a server."""
    to: str = ""
    """The server at the other end, where one connection of a process is struck."""
    seconds: float = 1.0
    """How long it lasts."""
    amount: int = 0
    """How many events the log loses, for example."""


class Plan(msgspec.Struct, frozen=True):
    """Everything that a run begins with."""

    seed: int
    shape: Shape
    devices: dict[str, str]
    """The user of each device."""
    channels: dict[str, list[str]]
    """The members of each channel that is there from the beginning."""
    actions: list[Action]
    faults: list[Fault]
    slow: dict[str, float] = {}
    """The connections that are slow from the beginning, as `worker1 redis`: seconds that are added to each way."""

    def processes(self) -> list[str]:
        """The names of the processes."""
        shape = self.shape
        counts = {
            "gateway": shape.gateways,
            "worker": shape.workers,
            "instance": shape.instances,
            "writer": shape.writers,
        }
        return [f"{kind}{number}" for kind, count in counts.items() for number in range(1, count + 1)]


SERVERS: Final = ("nats", "redis", "stores")


def drawn(seed: int) -> Plan:
    """Draw the plan of a seed."""
    draw = Draw(seed)
    users = [f"user{n}" for n in range(1, 3 + draw.below(3))]
    devices = {f"{user}-{kind}": user for user in users for kind in ("phone", "desk") if draw.happens(0.65)}
    devices = devices or {"user1-phone": "user1"}
    channels = {f"room{n}": draw.sample(users, 2 + draw.below(len(users) - 1)) for n in range(1, 2 + draw.below(3))}
    plan = Plan(seed, _shape(draw), devices, channels, [], [])
    if draw.happens(0.5):
        plan = _with_own_rooms(plan)
    slow = _slow_links(draw, plan) if draw.happens(0.4) else {}
    faults = _faults(draw, plan)
    plan = msgspec.structs.replace(plan, actions=_actions(draw, plan, users, faults), faults=faults, slow=slow)
    if draw.happens(_COINCIDENCE):
        plan = draw.choice(_COINCIDENCES)(draw, plan)
    return msgspec.structs.replace(
        plan,
        actions=sorted(plan.actions, key=lambda action: action.at),
        faults=sorted(plan.faults, key=lambda fault: fault.at),
    )


def _slow_links(draw: Draw, plan: Plan) -> dict[str, float]:
    links = [(process, server) for process in plan.processes() for server in SERVERS]
    return {f"{process} {server}": _slowness(draw, server) for process, server in links if draw.happens(0.2)}


def _slowness(draw: Draw, server: str, least: float = LEAST_SLOW_S) -> float:
    """Seconds by which each way takes longer. It is as likely to be twice as long at any length."""
    return float(least * (MOST_SLOW_S[server] / least) ** draw.share())


def _with_own_rooms(plan: Plan) -> Plan:
    """Give each user who has a device a room with a guest.

    Deliveries in a room of several users with devices hide one who is missing in a routing table: their instance gets
    the message for another one of them.
    """
    own = {f"own-{user}": [user, GUEST] for user in plan.devices.values()}
    return msgspec.structs.replace(plan, channels=plan.channels | own)


def _shared(plan: Plan) -> list[str]:
    return [channel for channel, members in plan.channels.items() if GUEST not in members]


def _of_kind(plan: Plan, *kinds: str) -> list[str]:
    return [name for name in plan.processes() if name.startswith(kinds)]


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
    isolated = draw.choice(processes + _of_kind(plan, "worker"))
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


def _full_redis(draw: Draw, plan: Plan) -> Plan:
    """Nothing goes wrong, but Redis refuses writes for much longer than a lease lasts."""
    refuse = Fault(draw.between(FIRST_FAULT_S, 8.0), "refuse", "redis", "", draw.between(18.0, 24.0))
    return msgspec.structs.replace(plan, faults=[refuse], slow={})


def _unread_loss(draw: Draw, plan: Plan) -> Plan:
    """The log loses a change of a membership that a process has not read, and keeps the change before it."""
    process = draw.choice(_of_kind(plan, "worker", "instance"))
    at, channel = draw.between(FIRST_FAULT_S + 3.0, ACTIVE_S - 5.0), draw.choice(_shared(plan))
    kept, lost = draw.sample(plan.channels[channel], 2)
    leaves = [Action(at - draw.between(0.5, 3.0), "leave", kept, channel), Action(at + 0.5, "leave", lost, channel)]
    what = draw.choice(("cut", "stall", "pause", "kill"))
    behind = Fault(at, what, process, "nats" if what in {"cut", "stall"} else "", draw.between(3.0, 8.0))
    loss = Fault(at + draw.between(0.6, 2.0), "lose newest", "nats", "META", draw.between(0.1, 2.0), 1)
    return msgspec.structs.replace(plan, actions=[*plan.actions, *leaves], faults=[*plan.faults, behind, loss])


def _unplaced_arrival(draw: Draw, plan: Plan) -> Plan:
    """A user connects for the first time while no worker has the membership store, and so none can place the user."""
    plan = _with_own_rooms(msgspec.structs.replace(plan, devices=plan.devices | {"late-desk": "late"}))
    at = draw.between(FIRST_FAULT_S + 2.0, ACTIVE_S - 12.0)
    what, seconds = draw.choice(("cut", "stall")), draw.between(8.0, 14.0)
    cuts = [Fault(at, what, worker, "stores", seconds) for worker in _of_kind(plan, "worker")]
    actions = [Action(at + draw.between(0.1, 2.0), "connect", "late-desk")]
    actions += _guest_posts(draw, ["late"], at + 5.0, at + 8.0, 3)
    return msgspec.structs.replace(plan, actions=plan.actions + actions, faults=plan.faults + cuts)


def _guest_posts(draw: Draw, users: list[str], begin: float, end: float, count: int) -> list[Action]:
    """Messages of a time to users, each in a room of their own."""
    return [Action(draw.between(begin, end), "post", GUEST, f"own-{draw.choice(users)}") for _ in range(count)]


def _changes_at_a_start(draw: Draw, plan: Plan) -> Plan:
    """A worker starts without a snapshot, and the memberships of a user who is connected change meanwhile."""
    at, device = draw.between(FIRST_FAULT_S + 2.0, ACTIVE_S - 8.0), draw.choice(list(plan.devices))
    user, channel = plan.devices[device], draw.choice(_shared(plan))
    times = sorted(draw.between(at + 0.2, at + 4.0) for _ in range(6))
    changes = [Action(when, what, user, channel) for when, what in zip(times, ("leave", "join") * 3, strict=True)]
    kill = Fault(at, "kill", draw.choice(_of_kind(plan, "worker")), "", draw.between(0.2, 1.0))
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
    return _with_own_rooms(msgspec.structs.replace(plan, shape=shape, devices=plan.devices | more, faults=[], slow={}))


def _arrivals_after_silence(draw: Draw, plan: Plan) -> Plan:
    """An instance has no bus for some seconds, and users come within the second after. The stores of a worker are slow.

    The instance hears one worker before the other ones.
    """
    plan = _crowded(plan)
    at, seconds = draw.between(FIRST_FAULT_S + 2.0, ACTIVE_S - 10.0), draw.between(2.0, 4.0)
    back, what = at + seconds, draw.choice(("cut", "isolate"))
    silence = Fault(at, what, "instance1", "nats" if what == "cut" else "", seconds)
    slow = {f"{draw.choice(_of_kind(plan, 'worker'))} stores": _slowness(draw, "stores", 0.1)}
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


_COINCIDENCES: Final = (
    _full_redis,
    _unread_loss,
    _unplaced_arrival,
    _changes_at_a_start,
    _arrivals_after_silence,
    _quick_returns,
)
"""What has to come together for a fault of the product to be seen, and seldom does by chance."""
