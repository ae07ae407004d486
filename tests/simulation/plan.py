"""The plan of a run: who lives in it, what people do and which faults strike."""

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

CHANGES: Final = ("join", "leave", "invite", "remove", "create")
"""The actions that change memberships."""
REPLIES: Final = ("reply", "reply elsewhere", "reply to a reply")
"""The actions that post a reply: to a message of the channel, of another channel, and to a reply. The last two have to
be refused."""
MARKS: Final = ("mark", "mark elsewhere")
"""The actions that mark a channel as read: up to a message of it, and of another channel, which has to be refused."""


class Shape(msgspec.Struct, frozen=True):
    """How the tier is set up."""

    gateways: int = 2
    workers: int = 2
    instances: int = 2
    writers: int = 1
    """Of messages, and as many of receipts."""
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
    """`connect`, `disconnect`, `post`, `join`, `leave`, `invite`, `remove`, `create`, `type`, `stop reading`,
    `lose network`, `list`, `read thread`, and those of `REPLIES` and `MARKS`."""
    who: str
    """A device for `connect`, `disconnect`, `type`, `stop reading`, `lose network` and `MARKS`; else a user."""
    channel: str = ""
    whom: str = ""
    """The user who is invited, is removed, or is a first member."""
    seconds: float = 0.0
    """How long the device does not read, or has no network."""
    length: int = 0
    """Characters of the message beyond its name."""
    nth: int = 0
    """Which message is replied to, marked as read, or the first one of a thread that is read: 0 for the newest."""
    also: bool = False
    """Whether a reply is sent to the channel too."""
    mentions: list[str] = []
    """The users that the message mentions."""


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
            "receipts": shape.writers,
        }
        return [f"{kind}{number}" for kind, count in counts.items() for number in range(1, count + 1)]

    def of_kind(self, *kinds: str) -> list[str]:
        """The names of the processes of some kinds."""
        return [name for name in self.processes() if name.startswith(kinds)]

    def shared(self) -> list[str]:
        """The channels that are not of one user and a guest."""
        return [channel for channel, members in self.channels.items() if GUEST not in members]

    def with_own_rooms(self) -> "Plan":
        """Give each user who has a device a room with a guest.

        Deliveries in a room of several users with devices hide one who is missing in a routing table: their instance
        gets the message for another one of them.
        """
        own = {f"own-{user}": [user, GUEST] for user in self.devices.values()}
        return msgspec.structs.replace(self, channels=self.channels | own)


SERVERS: Final = ("nats", "redis", "stores")


def slowness(draw: Draw, server: str, least: float = LEAST_SLOW_S) -> float:
    """Seconds by which each way takes longer. It is as likely to be twice as long at any length."""
    return float(least * (MOST_SLOW_S[server] / least) ** draw.share())
