"""What a table will take in memory, by experience: to refuse what does not fit before it is begun."""

from typing import Final

import msgspec

from benchmarks import units
from benchmarks.errors import DoesNotFitError
from benchmarks.machine import available_bytes
from benchmarks.population import Population
from benchmarks.tables import Kind

_LEAVE_FREE: Final = 0.1
"""Of what is available, for everybody else."""
_INTERPRETER: Final = 100_000_000
_FLOORS_PER_CHANNEL: Final = 48


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


def require_room(kind: Kind, population: Population, available: int | None = None, copies: int = 1) -> None:
    """Refuse a population that does not fit this machine.

    Args:
        kind: which table is to hold it.
        population: how much.
        available: bytes; by default what the machine has.
        copies: how many such tables there are at a time.

    Raises:
        DoesNotFitError: with both figures, and a size that would fit.
    """
    room = int((available_bytes() if available is None else available) * (1 - _LEAVE_FREE)) - _INTERPRETER
    needed = copies * COSTS[kind].of(population) + _FLOORS_PER_CHANNEL * population.channels
    if needed <= room:
        return
    empty = COSTS[kind].table
    fits = population.scaled(_two_digits(max(room - empty, 0) / (needed - empty)))
    raise DoesNotFitError(
        f"{population.memberships:,} memberships of {population.users:,} users in {population.channels:,} channels "
        f"take about {units.size(needed)}, and of this machine's memory {units.size(max(room, 0))} can be used. "
        f"This would fit: --users {fits.users} --channels {fits.channels} --memberships {fits.memberships}"
    )


def _two_digits(fraction: float) -> float:
    """Rounded down, so that what is proposed is round and fits."""
    digits = 2
    while fraction and fraction * 10**digits < 10:  # noqa: PLR2004 - until two digits are left
        digits += 1
    return int(fraction * 10.0**digits) / 10.0**digits
