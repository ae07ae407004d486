"""ULIDs: identifiers that sort by the time at which they were made (https://github.com/ulid/spec)."""

import threading
from collections.abc import Callable
from typing import Final

_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_BITS: Final = 80
_ULID_LENGTH: Final = 26
_PAIRS: Final = [first + second for first in _CROCKFORD for second in _CROCKFORD]
"""Two characters of a ULID at a time: an id is made for every message."""
_PAIR_MASK: Final = len(_PAIRS) - 1
_PAIR_SHIFTS: Final = tuple(range(5 * (_ULID_LENGTH - 2), -1, -10))


class UlidFactory:
    """Makes ULIDs that strictly increase, whatever the clock does.

    Within one millisecond, and when the clock steps back, the random part counts up by one (the specification's
    "Monotonicity"). Safe from any thread.

    Args:
        wall_ns: returns the time, in nanoseconds since 1970.
        random_bytes: returns as many random bytes as it is asked for.
    """

    def __init__(self, wall_ns: Callable[[], int], random_bytes: Callable[[int], bytes]) -> None:
        self._wall_ns = wall_ns
        self._random_bytes = random_bytes
        self._lock = threading.Lock()
        self._last = 0

    def __call__(self) -> str:
        """The next ULID: 26 characters of Crockford's base 32."""
        fresh = (self._wall_ns() // 1_000_000) << _RANDOM_BITS | int.from_bytes(self._random_bytes(10))
        with self._lock:
            same_or_earlier = fresh >> _RANDOM_BITS <= self._last >> _RANDOM_BITS
            self._last = self._last + 1 if same_or_earlier else fresh
            value = self._last
        return _encode(value)


def _encode(value: int) -> str:
    return "".join([_PAIRS[value >> shift & _PAIR_MASK] for shift in _PAIR_SHIFTS])
