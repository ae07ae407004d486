"""What a table will take in memory, by experience: to refuse what does not fit before it is begun."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from benchmarks import units
from benchmarks.errors import BenchError, DoesNotFitError
from benchmarks.machine import available_bytes
from benchmarks.population import Population
from benchmarks.tables import TITLES, Kind

_LEAVE_FREE: Final = 0.1
"""Of what is available, for everybody else."""
_PROPOSED: Final = 0.95
"""Of what can be used: a moment later it may be a little less."""
PROCESS_BYTES: Final = 100_000_000
"""Of a process beside its table: the interpreter and the libraries."""
_MORE_PER_CHANNEL: Final = 48
"""Beside tables: the floors of logins, or what a snapshot takes while it is read back."""
_FRACTIONS: Final = tuple(digits / 10**exponent for exponent in range(2, 12) for digits in range(99, 9, -1))
"""Of two digits, falling, so that what is proposed is round."""


class Costs(msgspec.Struct, frozen=True):
    """Bytes, rounded up."""

    user: int
    channel: int
    membership: int
    table: int = 0
    """Whatever it holds."""

    def of(self, population: Population) -> int:
        """Bytes of a table that holds it."""
        return (
            self.table
            + self.user * population.users
            + self.channel * population.channels
            + self.membership * population.memberships
        )


COSTS: Final[dict[Kind, Costs]] = {
    "engine": Costs(user=500, channel=85, membership=8, table=16_000_000),
    "python": Costs(user=1_500, channel=300, membership=160),
    "cython": Costs(user=500, channel=250, membership=20),
}


class Held(msgspec.Struct, frozen=True):
    """A table that a benchmark holds in a process of its own, and how many of it at a time."""

    kind: Kind
    population: Population
    copies: int = 1

    @property
    def table_bytes(self) -> int:
        """Of one of them."""
        return COSTS[self.kind].of(self.population)

    @property
    def needed_bytes(self) -> int:
        """Of the whole process."""
        return self.copies * self.table_bytes + _MORE_PER_CHANNEL * self.population.channels + PROCESS_BYTES

    def described(self) -> str:
        """Its size in words."""
        twice = ", and as much again for the copy that is read back from a snapshot" if self.copies > 1 else ""
        return (
            f"the {TITLES[self.kind]} table of {self.population.shape()} takes about {units.size(self.table_bytes)}"
            f"{twice}; with the rest of the benchmark that is {units.size(self.needed_bytes)} in all"
        )


Tables = Callable[[Population], Sequence[Held]]
"""What a benchmark holds, one after another, when it is asked for a population.

It raises a `BenchError` when the population cannot be measured.
"""


def require_room(asked: Population, tables: Tables, available: int | None = None) -> None:
    """Refuse a benchmark of which any table does not fit this machine.

    Args:
        asked: the population as it is given by options.
        tables: what the benchmark holds for it.
        available: bytes; by default what the machine has.

    Raises:
        BenchError: the population cannot be measured.
        DoesNotFitError: it says which table does not fit, by how much, and what would be accepted.
    """
    room = int((available_bytes() if available is None else available) * (1 - _LEAVE_FREE))
    largest = max(tables(asked), key=lambda held: held.needed_bytes)
    if largest.needed_bytes <= room:
        return
    limit = int(room * _PROPOSED)
    raise DoesNotFitError(
        f"{largest.described()}, and of this machine's memory {units.size(room)} can be used. "
        + _advice(next((small for small in map(asked.scaled, _FRACTIONS) if _fits(small, tables, limit)), None))
    )


def _advice(fits: Population | None) -> str:
    if fits is None:
        return "No smaller size would fit either: memory must be freed first"
    return f"This would fit: --users {fits.users} --channels {fits.channels} --memberships {fits.memberships}"


def _fits(population: Population, tables: Tables, room: int) -> bool:
    try:
        population.check()
        return all(held.needed_bytes <= room for held in tables(population))
    except BenchError:
        return False
