"""The bus and presence inside one process: for `fanout up` without servers."""

from fanout.ports.bus import Bus
from services.adapters.embedded.bus import EmbeddedBus
from services.adapters.embedded.presence import EmbeddedPresence
from services.composition.backends import Backends, Found
from services.composition.limits import look_at_bus


async def open_embedded_bus(backends: Backends) -> EmbeddedBus:
    """Make a bus for the services of this process."""
    return backends.close_at_end(EmbeddedBus())


async def look_at_embedded_bus(backends: Backends) -> Found:
    """Say how long the longest message of the bus is."""
    return await look_at_bus("embedded", await backends.open(Bus))


async def open_embedded_presence(_: Backends) -> EmbeddedPresence:
    """Make presence for the services of this process."""
    return EmbeddedPresence()


async def look_at_embedded_presence(_: Backends) -> Found:
    """Report no problem: there is no server and no file that could have one."""
    return Found("embedded")
