"""What `fanout bench sockets` measured, and the figures that are made of it."""

from collections.abc import Callable
from statistics import median
from typing import Final

import msgspec

from benchmarks.histogram import Histogram
from benchmarks.live.sockets.figures import IdleFigures, Server, Turn, Way
from benchmarks.live.sockets.messages import LoadKind, Reach

BURST: Final = 8
"""Events that are sent to the same sockets at once."""
TELLING: Final = 10_000
"""Idle connections: of fewer, what each takes is told too high, with a share of what the process takes anyway."""
_HUNDRED: Final = 100

Contest = dict[Way, list[Turn]]


class Measured(msgspec.Struct, frozen=True):
    """All of it."""

    idle: dict[Server, IdleFigures]
    last: Contest
    """Single events with pauses, for the sake of delays."""
    single: Contest
    """Single events, the next when the last has arrived; also by the floor."""
    bursts: Contest
    """Eight at once; also by the floor."""
    many: dict[Reach, Contest]
    """Events to as many channels as there are for the sockets, by how many read each."""
    floods: dict[LoadKind, Contest]
    """The small channel beside a load."""

    def contests(self) -> dict[str, Contest]:
        """Those of which deliveries are compared, by what they are called."""
        return {
            "single events": self.single,
            f"bursts of {BURST}": self.bursts,
            **{f"channels of {_READERS[reach]}": contest for reach, contest in self.many.items()},
        }


_READERS: Final[dict[Reach, str]] = {"one": "one reader", "ten": "ten readers", "hundred": "a hundred readers"}


def middle(turns: list[Turn], figure: Callable[[Turn], float]) -> float:
    """The median over the turns."""
    return median(map(figure, turns))


def per_server_second(turns: list[Turn]) -> float:
    """Deliveries per second of the server's processor time: what is compared."""
    return middle(turns, lambda turn: turn.per_server_second)


def per_second(turns: list[Turn]) -> float:
    """Deliveries by the clock."""
    return middle(turns, lambda turn: turn.per_second)


def ratio(contest: Contest) -> float:
    """How many times as many deliveries the service makes, per second of the server's processor time."""
    return per_server_second(contest["service"]) / per_server_second(contest["plain"])


def delays(turns: list[Turn]) -> Histogram:
    """Of all turns."""
    counted = Histogram()
    for turn in turns:
        counted.record(turn.delays_ns)
    return counted


def shares(*contests: list[Turn]) -> dict[str, float]:
    """Of the delays that are told: the 99th of a hundred only where there are as many."""
    enough = all(delays(turns).count >= _HUNDRED for turns in contests)
    return {"median": 0.5, **({"99 of 100": 0.99} if enough else {}), "longest": 1.0}


def seconds_of_last(turns: list[Turn]) -> float:
    """The median delay."""
    return delays(turns).percentile(0.5) / 1e9


def ratio_of_delays(turns: list[Turn], others: list[Turn], share: float) -> float:
    """Of the delay that a share of the events does not exceed."""
    return delays(turns).percentile(share) / max(delays(others).percentile(share), 1)


def server_share(turns: list[Turn]) -> float:
    """Of a core, that the server kept busy."""
    return middle(turns, lambda turn: turn.server_s / turn.wall_s)


def clients_share(turns: list[Turn]) -> float:
    """Of a core, that the clients kept busy."""
    return middle(turns, lambda turn: turn.clients_s / turn.wall_s)
