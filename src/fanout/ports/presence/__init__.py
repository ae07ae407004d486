"""Presence: who is connected, where, and what others see of it. Three ports, because few services need all of them.

`Connections` records which devices of a user are connected, and to which notification instance. `Leases` says which
instances are alive. `Aggregates` has the presence of each user, computed from both. Contract section 5.
"""

from fanout.ports.presence.aggregates import Aggregates, Status, Sweep, UserPresence
from fanout.ports.presence.connections import (
    ClientState,
    Connected,
    Connections,
    DeviceConnection,
    Renewal,
)
from fanout.ports.presence.leases import Lease, Leases

__all__ = [
    "Aggregates",
    "ClientState",
    "Connected",
    "Connections",
    "DeviceConnection",
    "Lease",
    "Leases",
    "Renewal",
    "Status",
    "Sweep",
    "UserPresence",
]
