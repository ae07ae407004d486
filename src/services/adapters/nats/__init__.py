"""The log on NATS JetStream and the bus on core NATS."""

from services.adapters.nats.bus import NatsBus
from services.adapters.nats.connection import NatsConnection, connect
from services.adapters.nats.log import NatsLog

__all__ = ["NatsBus", "NatsConnection", "NatsLog", "connect"]
