"""When clients reconnect: they spread their return, so that an instance can admit all of them."""

from typing import Final

ADMITTED_PER_S: Final = 500
"""Clients that an instance admits and catches up in a second, on modest hardware."""
SHORTEST_MS: Final = 250
LONGEST_MS: Final = 30_000


def reconnect_within_ms(sessions: int) -> int:
    """The milliseconds over which the clients of an instance spread their return when it is lost.

    Args:
        sessions: how many clients it has.
    """
    return min(max(SHORTEST_MS, sessions * 1_000 // ADMITTED_PER_S), LONGEST_MS)
