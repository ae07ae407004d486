"""What a JetStream consumer delivers, as the log's readers get it."""

from fanout import Deliveries
from fanout.ports.log import Stored, StoredBatch
from services.adapters.nats.streams import published_subject


def batch_of(deliveries: Deliveries) -> StoredBatch:
    """Deliveries as they go through the core."""
    return StoredBatch(deliveries, published_subject)


def events_of(deliveries: Deliveries) -> list[Stored]:
    """Deliveries one by one."""
    return list(batch_of(deliveries))
