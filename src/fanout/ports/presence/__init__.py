"""Presence: which user is connected to which instance. Three ports, because few services need all. Contract section 5.

`Connections` records which devices of a user are connected, and to which notification instance. `Leases` says which
instances are alive. `Hints` notifies its subscribers that a user came or went.
"""

from fanout.ports.presence.connections import Connections, DeviceConnection
from fanout.ports.presence.hints import ChangeHandler, Hints
from fanout.ports.presence.leases import Lease, Leases

__all__ = ["ChangeHandler", "Connections", "DeviceConnection", "Hints", "Lease", "Leases"]
