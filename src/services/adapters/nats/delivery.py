"""What a JetStream consumer delivers, as the log's readers get it."""

from fanout import Deliveries
from fanout.ports.log import Stored, StoredBatch
from services.adapters.nats.names import Names


def batch_of(deliveries: Deliveries, names: Names) -> StoredBatch:
    """Deliveries as they go through the core."""
    return StoredBatch(deliveries, names.published)


def events_of(deliveries: Deliveries, names: Names) -> list[Stored]:
    """Deliveries one by one."""
    return list(batch_of(deliveries, names))
