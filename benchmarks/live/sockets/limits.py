"""How many connections and files, sockets included, a process may have open."""

import resource
from typing import Final

from services.runtime.settings import Settings

MOST_CONNECTIONS: Final[int] = Settings.model_fields["max_connections"].default
"""Of an instance, unless `FANOUT_MAX_CONNECTIONS` says otherwise."""
RESERVED: Final = 150
"""Descriptors of a process that are no client's: libraries, databases, pipes, sockets that are about to be taken."""


def raise_limit(wanted: int) -> int:
    """Let this process, and those that it starts, open as many files as it needs, or as it may.

    Args:
        wanted: how many.

    Returns:
        how many it may open now.
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
