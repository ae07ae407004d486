"""Presence: which user is connected to which instance. Two ports, because few services need both. Contract section 5.

`Connections` records which devices of a user are connected, and to which notification instance. `Leases` says which
instances are alive.
"""

from fanout.ports.presence.connections import Connections, DeviceConnection
from fanout.ports.presence.leases import Lease, Leases

__all__ = ["Connections", "DeviceConnection", "Lease", "Leases"]
