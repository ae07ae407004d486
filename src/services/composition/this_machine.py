"""The checks of `fanout check` on this machine, beside the backends: addresses, and the folder of snapshots."""

import errno
import os
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from services.composition.backends import Found
from services.runtime.data_dir import check_data_dir
from services.runtime.listening import try_to_bind
from services.runtime.settings import Address, ConfigurationError, Settings, cannot_listen


class LocalCheck(NamedTuple):
    """A line of `fanout check` about this machine."""

    name: str
    look: Callable[[Settings, bool], Awaitable[Found]]
    """Takes the settings, and whether a service is to be started here, so that its addresses must be free. Raises
    what is wrong."""


async def _listen(settings: Settings, starting: bool) -> Found:  # noqa: FBT001 - as `LocalCheck` has it
    return _address("LISTEN", settings.listen, starting=starting)


async def _ws_listen(settings: Settings, starting: bool) -> Found:  # noqa: FBT001 - as `LocalCheck` has it
    address = settings.ws_listen
    if starting and address.overlaps(settings.listen):
        raise ConfigurationError([f"FANOUT_WS_LISTEN: {address} is FANOUT_LISTEN's too; set another port"])
    return _address("WS_LISTEN", address, starting=starting)


async def _snapshot(settings: Settings, _starting: bool) -> Found:  # noqa: FBT001 - as `LocalCheck` has it
    if settings.snapshot is None:
        return Found("none is kept: the table is loaded from the stores at each start")
    path = settings.data_dir / settings.snapshot
    if path.parent == settings.data_dir:
        check_data_dir(path.parent)  # it is created at the start
    elif not os.access(path.parent, os.W_OK | os.X_OK):
        raise ConfigurationError([f"FANOUT_SNAPSHOT: {path.parent} is no folder that can be written; create it"])
    return Found(f"in {path}")


def _address(variable: str, address: Address, *, starting: bool) -> Found:
    try:
        try_to_bind(address)
    except OSError as error:
        # A running service holds it, which is a problem only for a service that is to be started.
        if starting or error.errno != errno.EADDRINUSE:
            raise cannot_listen(variable, address, error) from error
        return Found(f"{address} is in use, by a running service or another program")
    return Found(f"{address} is free")


LISTEN = LocalCheck("listen", _listen)
"""The address of REST, health and metrics."""
WS_LISTEN = LocalCheck("ws_listen", _ws_listen)
"""The address of the WebSockets."""
SNAPSHOT = LocalCheck("snapshot", _snapshot)
"""The folder of a fan-out worker's snapshots."""
