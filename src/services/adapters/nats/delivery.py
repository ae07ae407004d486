"""Turns what a JetStream consumer delivers into the events that readers of the log get."""

from fanout import Deliveries
from fanout.ports.log import PartitionEvents, StoredEvent
from services.adapters.nats.names import Names


def batch_of(deliveries: Deliveries, names: Names) -> PartitionEvents:
    """The deliveries as one batch, which stays bytes in the core."""
    return PartitionEvents(deliveries, names.published)


def events_of(deliveries: Deliveries, names: Names) -> list[StoredEvent]:
    """The deliveries as separate events."""
    return list(batch_of(deliveries, names))
