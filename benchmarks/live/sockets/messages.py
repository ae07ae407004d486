"""What the leading process says to servers and clients, and what they answer."""

from typing import Literal

import msgspec

Reach = Literal["all", "hundred", "ten", "one"]
"""How many sockets read each of the channels to which events go."""
LoadKind = Literal["none", "hot", "even"]
"""What floods the server: nothing, one channel that all read, or channels of a hundred readers."""
REACHES: tuple[Reach, ...] = ("one", "ten", "hundred", "all")
LOADS: tuple[LoadKind, ...] = ("none", "even", "hot")


class Member(msgspec.Struct, frozen=True):
    """A child has begun; a server tells its port."""

    port: int = 0


class Usage(msgspec.Struct, frozen=True, tag=True):
    """To a server: what do you hold, and what did you use?"""


class Used(msgspec.Struct, frozen=True):
    """So far."""

    cpu_s: float
    """Of its process, user and system."""
    resident_bytes: int
    """After the garbage was collected."""


class Rehearse(msgspec.Struct, frozen=True, tag=True):
    """To a server: send the script of the rehearsal."""


class Rehearsed(msgspec.Struct, frozen=True):
    """It was sent. Its events have the numbers from `first` on."""

    first: int


class Play(msgspec.Struct, frozen=True, tag=True):
    """To a server: send events, the next ones when the clients have the last ones."""

    reach: Reach
    rounds: int
    burst: int = 1
    """Events to each channel that are sent at once."""
    pause_s: float = 0.0
    """After each round."""
    floor: bool = False
    """Sent in the least way that there is, where the server has one."""


class Played(msgspec.Struct, frozen=True):
    """They were sent, and are all there."""

    sent_ns: list[int]
    """When each round was handed over, on CLOCK_MONOTONIC."""
    wall_s: float
    cpu_s: float
    """Of the server's process, user and system."""


class Flood(msgspec.Struct, frozen=True, tag=True):
    """To a server: keep deliveries waiting without pause, and send an event to the small channel at a fixed pace."""

    load: LoadKind
    seconds: float


class Flooded(msgspec.Struct, frozen=True):
    """All that was sent is there."""

    due_ns: list[int]
    """When each event of the small channel was due, on CLOCK_MONOTONIC."""
    rounds: int
    """Of the load: each is one frame for each socket."""
    wall_s: float
    cpu_s: float


class Connect(msgspec.Struct, frozen=True, tag=True):
    """To clients: open more connections."""

    port: int
    count: int


class Connected(msgspec.Struct, frozen=True):
    """They are all open and admitted."""

    seconds: float


class Begin(msgspec.Struct, frozen=True, tag=True):
    """To clients: count what comes from now on."""

    keep: bool = False
    """Also keep it, to be checked."""
    burst: int = 1
    """Frames for each socket that make a round."""


class Begun(msgspec.Struct, frozen=True):
    """They count."""


class Finish(msgspec.Struct, frozen=True, tag=True):
    """To clients: the last is on its way. Answer when all is there."""

    rounds: int


class Finished(msgspec.Struct, frozen=True):
    """Each socket has just what it should have."""

    arrived_ns: list[int]
    """When each round was complete, on CLOCK_MONOTONIC."""
    cpu_s: float
    """Of the clients' process since `Begin`, user and system."""


class Check(msgspec.Struct, frozen=True, tag=True):
    """To clients that kept what came: is it the rehearsal, for each socket just its frames and in order?"""

    first: int
    """The number of the rehearsal's first event."""


class Checked(msgspec.Struct, frozen=True):
    """It is."""

    frames: int


class Refusal(msgspec.Struct, frozen=True, tag=True):
    """Instead of an answer: the run cannot go on."""

    why: str


ToServer = Usage | Rehearse | Play | Flood
ToClients = Connect | Begin | Finish | Check
