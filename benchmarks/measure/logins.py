"""A user in very many channels comes online and leaves, beside the floor: one touch of each row, and nothing else."""

import gc
import hashlib
from array import array
from collections.abc import Callable
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
FLOORS: Final = {"ordinary": (16, False), "wide": (32, False), "huge": (16, True)}
"""Bytes of a row, and whether huge pages are asked for."""
_FIRST_DRAW: Final = 1 << 20
"""So that no user's channels are those of the batches of lookups."""


class LoginSettings(msgspec.Struct, frozen=True):
    """Which table, what it holds, and who comes."""

    table: Kind
    population: Population
    channels: int
    """Of the user who comes and goes."""
    rounds: int


class Logins(msgspec.Struct, frozen=True):
    """Milliseconds of each round, by what was done."""

    known: list[float]
    """Online, the channels given by names that the table has."""
    cached: list[float]
    """Online, the channels known from before."""
    new: list[float]
    """Online, the channels given by names that the table never saw."""
    offline: list[float]
    """After each of the first two."""
    vanishing: list[float]
    """Offline after the third, and forgotten: the channels have nobody else, so they go too."""
    floor: dict[str, list[float]]
    """One touch of each row, by the kind of floor."""
    answers: str
    """A digest of what the calls returned."""


def logins(settings: LoginSettings, progress: Progress) -> Logins:
    """Fill a table, and let users of many channels come and go."""
    gc.disable()
    table = new_table(settings.table)
    bring_online(table, settings.population, progress)
    check_against_population(table, settings.population)
    visits = Visits(table, settings)
    visits.teach()
    for turn in range(settings.rounds):
        progress(turn / settings.rounds, "users of many channels come and go")
        visits.take_turn(turn)
    return visits.result()


class Visits:
    """Each turn does everything once, so that a slow moment of the machine strikes all of it alike."""

    def __init__(self, table: Table, settings: LoginSettings) -> None:
        self._table = table
        self._settings = settings
        self._floors = {kind: Floor(settings.population.channels, size, huge) for kind, (size, huge) in FLOORS.items()}
        self._returned: list[int] = []
        self._known: list[float] = []
        self._cached: list[float] = []
        self._new: list[float] = []
        self._offline: list[float] = []
        self._vanishing: list[float] = []
        self._floor: dict[str, list[float]] = {kind: [] for kind in FLOORS}

    def teach(self) -> None:
        """Every user of the cached visits was online before."""
        for turn in range(self._settings.rounds):
            self._table.user_online(_cached_user(turn), INSTANCE, channel_names(self._places(2 * turn)))
            self._table.user_offline(_cached_user(turn), INSTANCE)

    def take_turn(self, turn: int) -> None:
        """One visit of each kind, and the floor."""
        self._visit(self._cached, self._offline, _cached_user(turn), None)
        self._visit(self._known, self._offline, "by-name", channel_names(self._places(2 * turn + 1)))
        self._table.forget("by-name")  # so that the next visit has no old list to let go of
        self._touch_floors(self._places(2 * turn + 1))
        first = self._settings.population.channels + turn * self._settings.channels
        names = channel_names(array("I", range(first, first + self._settings.channels)))
        self._timed(self._new, lambda: self._table.user_online("by-new-name", INSTANCE, names))
        self._timed(self._vanishing, lambda: self._vanish("by-new-name"))

    def result(self) -> Logins:
        """All turns."""
        return Logins(
            known=self._known,
            cached=self._cached,
            new=self._new,
            offline=self._offline,
            vanishing=self._vanishing,
            floor=self._floor,
            answers=hashlib.sha256(repr(self._returned).encode()).hexdigest(),
        )

    def _places(self, draw: int) -> "array[int]":
        return self._settings.population.some(self._settings.channels, _FIRST_DRAW + draw)

    def _visit(self, online: list[float], offline: list[float], user: str, names: list[str] | None) -> None:
        self._timed(online, lambda: self._table.user_online(user, INSTANCE, names))
        self._timed(offline, lambda: self._table.user_offline(user, INSTANCE))

    def _vanish(self, user: str) -> int:
        gone = self._table.user_offline(user, INSTANCE)
        self._table.forget(user)
        return gone

    def _timed(self, taken: list[float], call: Callable[[], int]) -> None:
        began = perf_counter()
        returned = call()
        taken.append((perf_counter() - began) * 1e3)
        self._returned.append(returned)

    def _touch_floors(self, places: "array[int]") -> None:
        ordered = array("I", sorted(places))
        for kind, floor in self._floors.items():
            began = perf_counter()
            floor.touch(ordered)
            self._floor[kind].append((perf_counter() - began) * 1e3)


def _cached_user(turn: int) -> str:
    return f"cached-{turn}"
