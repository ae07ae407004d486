"""How many files, sockets included, a process may have open, and so how many connections it may hold."""

import resource
from typing import Final

from benchmarks.errors import NumbersError
from benchmarks.live.sockets.channels import SMALL_READERS
from services.runtime.settings import Settings

MOST_CONNECTIONS: Final[int] = Settings.model_fields["max_connections"].default
"""Of an instance, unless `FANOUT_MAX_CONNECTIONS` says otherwise."""
RESERVED: Final = 150
"""Descriptors of a process that are no client's: libraries, databases, pipes, sockets about to be accepted."""
WARM_UP: Final = 100
"""Idle connections that are open before memory is first read: the first ones bring more than each one takes."""


def raise_limit(wanted: int) -> int:
    """Let this process, and those that it starts, open as many files as it needs, or as it may.

    Returns:
        How many it may open now.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
        except (ValueError, OSError):  # not ours to raise
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    elif soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def room_for_idle(wanted: int) -> int:
    """How many of the wanted idle connections a server may hold.

    Raises:
        NumbersError: it may hold none.
    """
    room, limit = _room(wanted, WARM_UP)
    if room < 1:
        raise NumbersError(
            f"a process may have {limit:,} files open here, which leaves none for a connection: raise the hard limit "
            "(ulimit -Hn)"
        )
    return room


def require_room_for_idle(connections: int) -> None:
    """Fail before anything is started if a process may not open so many files.

    Raises:
        NumbersError: the text says how many connections would be accepted.
    """
    room_for_idle(connections)
    _require("--connections", connections, WARM_UP)


def require_room_to_play(sockets: int) -> None:
    """Fail before anything is started if a process may not open so many files.

    Raises:
        NumbersError: the text says how many sockets would be accepted.
    """
    _require("--fan-out", sockets, SMALL_READERS)


def _require(option: str, wanted: int, more: int) -> None:
    room, limit = _room(wanted, more)
    if room < wanted:
        raise NumbersError(
            f"{option} {wanted} needs {wanted + more + RESERVED:,} open files in a process, and {limit:,} are allowed: "
            f"raise the hard limit (ulimit -Hn), or take {option} {room}"
        )


def _room(wanted: int, more: int) -> tuple[int, int]:
    """How many of the wanted connections fit beside some more, and how many files may be open."""
    limit = raise_limit(wanted + more + RESERVED)
    return min(wanted, limit - more - RESERVED), limit
