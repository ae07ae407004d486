"""The memory that a table will take, by experience: a table that does not fit is refused before it is filled."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from benchmarks import units
from benchmarks.errors import BenchError, DoesNotFitError
from benchmarks.machine import available_bytes
from benchmarks.population import Population
from benchmarks.tables import TITLES, Kind

_USED: Final = 0.9
"""The share of the available memory that a benchmark may take."""
_PROPOSED: Final = 0.95
"""The share of that which a proposed size takes: a moment later, less may be available."""
PROCESS_BYTES: Final = 100_000_000
"""Memory of a process beside its table: the interpreter and the libraries."""
_MORE_PER_CHANNEL: Final = 48
"""Bytes beside tables: the floors of logins, or what a snapshot takes while it is restored."""
_FRACTIONS: Final = tuple(digits / 10**exponent for exponent in range(2, 12) for digits in range(99, 9, -1))
"""Falling, of two digits, so that the proposed size is round."""
_BYTES: Final[dict[Kind, tuple[int, int, int, int]]] = {
    "engine": (500, 85, 8, 16_000_000),
    "python": (1_500, 300, 160, 0),
    "cython": (500, 250, 20, 0),
}
"""The bytes of a user, of a channel, of a membership, and of an empty table; rounded up."""


class Held(NamedTuple):
    """A table that a benchmark holds in a process of its own, and how many copies of it at a time."""

    kind: Kind
    population: Population
    copies: int = 1

    @property
    def table_bytes(self) -> int:
        """Memory of one copy."""
        user, channel, membership, empty = _BYTES[self.kind]
        held = self.population
        return empty + user * held.users + channel * held.channels + membership * held.memberships

    @property
    def needed_bytes(self) -> int:
        """Memory of the whole process."""
        return self.copies * self.table_bytes + _MORE_PER_CHANNEL * self.population.channels + PROCESS_BYTES


Tables = Callable[[Population], Sequence[Held]]
"""The tables that a benchmark holds, one after another, for a population; it may raise a `BenchError`."""


def require_room(asked: Population, tables: Tables, available: int | None = None) -> None:
    """Refuse a benchmark of which any table does not fit: `available` bytes, by default what the machine has.

    Raises:
        BenchError: the population cannot be measured.
        DoesNotFitError: the text says which table does not fit, by how much, and which size would be accepted.
    """
    asked.check()
    room = int((available_bytes() if available is None else available) * _USED)
    largest = max(tables(asked), key=lambda held: held.needed_bytes)
    if largest.needed_bytes > room:
        smaller = (small for small in map(asked.scaled, _FRACTIONS) if _fits(small, tables, int(room * _PROPOSED)))
        advice = "No smaller size would fit either: memory must be freed first"
        if fits := next(smaller, None):
            advice = f"This would fit: --users {fits.users} --channels {fits.channels} --memberships {fits.memberships}"
        raise DoesNotFitError(
            f"the {TITLES[largest.kind]} table of {largest.population.shape()} takes about "
            f"{units.size(largest.table_bytes)}; with the rest of the benchmark that is "
            f"{units.size(largest.needed_bytes)} in all, and of this machine's memory {units.size(room)} can be used. "
            + advice
        )


def _fits(population: Population, tables: Tables, room: int) -> bool:
    try:
        return all(held.needed_bytes <= room for held in tables(population))
    except BenchError:
        return False
