"""A user in very many channels comes online and leaves, beside the floor: one touch of each row, and nothing else."""

import gc
import hashlib
from array import array
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Final

import msgspec

from benchmarks.apart import Progress
from benchmarks.drawing import channel_names
from benchmarks.floor import Floor
from benchmarks.measure.fill import bring_online, check_against_population
from benchmarks.population import Population
from benchmarks.tables import Kind, Table, new_table

INSTANCE: Final = "notif-0"
VISITS: Final = {
    "cached": ("online, memberships cached", "The user was here before, and the engine knows the channels."),
    "known": ("online, by known names", "The channels come as strings that the table has."),
    "new": ("online, by new names", "The channels come as strings that nobody used before."),
    "offline": ("offline", "After the first two."),
    "vanishing": ("offline and forgotten, of new names", "The channels have no other users, so that they go too."),
}
"""What is timed in each round."""
FLOORS: Final = {"ordinary": (16, False), "wide": (32, False), "huge": (16, True)}
"""Bytes of a row, and whether huge pages are asked for."""
_FIRST_DRAW: Final = 1 << 20
"""So that no user's channels are those of the batches of lookups."""


class Logins(msgspec.Struct, frozen=True):
    """Seconds of each round."""

    visits: dict[str, list[float]]
    """By the keys of `VISITS`."""
    floor: dict[str, list[float]]
    """One touch of each row, by the keys of `FLOORS`."""
    answers: str
    """A digest of what the calls returned."""


def logins(progress: Progress, kind: Kind, population: Population, channels: int, rounds: int) -> Logins:
    """Fill a table, and let users of many channels come and go.

    Each round does everything once, so that a slow moment of the machine strikes all of it alike.
    """
    gc.disable()
    table = new_table(kind)
    bring_online(table, population, progress)
    check_against_population(table, population)
    visits = _Visits(table, population, channels)
    for turn in range(rounds):
        visits.teach(turn)
    for turn in range(rounds):
        progress(turn / rounds, "users of many channels come and go")
        visits.take_turn(turn)
    return visits.result()


class _Visits:
    def __init__(self, table: Table, population: Population, channels: int) -> None:
        self._table = table
        self._population = population
        self._channels = channels
        self._floors = {name: Floor(population.channels, size, huge) for name, (size, huge) in FLOORS.items()}
        self._returned: list[int | None] = []
        self._taken: dict[str, list[float]] = {name: [] for name in (*VISITS, *FLOORS)}

    def teach(self, turn: int) -> None:
        """The user of a cached visit was online before."""
        self._table.user_online(f"cached-{turn}", INSTANCE, channel_names(self._places(2 * turn)))
        self._table.user_offline(f"cached-{turn}", INSTANCE)

    def take_turn(self, turn: int) -> None:
        """One visit of each kind, and the floors."""
        places = self._places(2 * turn + 1)
        self._visit("cached", "offline", f"cached-{turn}", None)
        self._visit("known", "offline", "by-name", channel_names(places))
        self._table.forget("by-name")  # so that the next visit has no old list to let go of
        ordered = array("I", sorted(places))
        for name, floor in self._floors.items():
            self._timed(name, partial(floor.touch, ordered))
        first = self._population.channels + turn * self._channels
        names = channel_names(array("I", range(first, first + self._channels)))
        self._timed("new", lambda: self._table.user_online("by-new-name", INSTANCE, names))
        self._timed("vanishing", lambda: self._vanish("by-new-name"))

    def result(self) -> Logins:
        """All rounds."""
        visits, floor = ({name: self._taken[name] for name in names} for names in (VISITS, FLOORS))
        return Logins(visits, floor, hashlib.sha256(repr(self._returned).encode()).hexdigest())

    def _places(self, draw: int) -> "array[int]":
        return self._population.some(self._channels, _FIRST_DRAW + draw)

    def _visit(self, online: str, offline: str, user: str, names: list[str] | None) -> None:
        self._timed(online, lambda: self._table.user_online(user, INSTANCE, names))
        self._timed(offline, lambda: self._table.user_offline(user, INSTANCE))

    def _vanish(self, user: str) -> int:
        gone = self._table.user_offline(user, INSTANCE)
        self._table.forget(user)
        return gone

    def _timed(self, name: str, call: Callable[[], int | None]) -> None:
        began = perf_counter()
        returned = call()
        self._taken[name].append(perf_counter() - began)
        self._returned.append(returned)
