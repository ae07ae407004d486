"""What is measured with sockets, and how it is asked for."""

from typing import Final, Literal

import msgspec

Server = Literal["service", "plain"]
Way = Literal["service", "plain", "floor"]
"""How events are sent: by either server, or with the least work possible, by the process of the second server."""
Reach = Literal["all", "hundred", "ten", "one"]
"""How many sockets read each of the channels to which events go."""
LoadKind = Literal["none", "hot", "even"]
"""What loads the server: nothing, one channel that all read, or channels of a hundred readers."""
SERVERS: Final[tuple[Server, ...]] = ("service", "plain")
NAMES: Final[dict[Server, str]] = {"service": "notification service", "plain": "bare websockets"}
REACHES: Final[tuple[Reach, ...]] = ("one", "ten", "hundred", "all")
LOADS: Final[tuple[LoadKind, ...]] = ("none", "even", "hot")


class Play(msgspec.Struct, frozen=True):
    """Rounds of events: each is sent when all clients have the one before."""

    reach: Reach
    rounds: int
    burst: int = 1
    """Events to each channel that are sent at once."""
    pause_s: float = 0.0
    """After each round."""
    floor: bool = False
    """Whether they are sent with the least work possible, where the server has such a way."""


class IdleFigures(msgspec.Struct, frozen=True):
    """Connections to which nothing is sent."""

    connections: int
    """Beyond the first ones."""
    resident_bytes: int
    """That they added to the server's process."""
    opened_s: float
    """Until all were admitted."""
    server_s: float
    """Processor time of the server's process meanwhile."""

    @property
    def each_bytes(self) -> float:
        """Memory for a connection."""
        return self.resident_bytes / self.connections

    @property
    def rate(self) -> float:
        """Connections opened and admitted per second, by the clock."""
        return self.connections / self.opened_s

    @property
    def rate_by_server(self) -> float:
        """The same per second of the server's processor time."""
        return self.connections / self.server_s


class Turn(msgspec.Struct, frozen=True):
    """Deliveries for a while: a delivery is one event to one socket."""

    deliveries: int
    wall_s: float
    server_s: float
    """Processor time of the server's process, user and system."""
    clients_s: float
    """Processor time of the clients' process, user and system."""
    delays_ns: list[int]
    """Of each round, or of each event of the small channel: until the last of its clients had the last byte."""

    @property
    def per_second(self) -> float:
        """Deliveries, by the clock."""
        return self.deliveries / self.wall_s

    @property
    def per_server_second(self) -> float:
        """Deliveries, by the server's processor time."""
        return self.deliveries / self.server_s
