"""Fanout: the fan-out engine of a chat platform's real-time tier.

    >>> import fanout
    >>> engine = fanout.Engine()
    >>> engine.user_online("alice", "notif-1", ["general", "random"])
    2
    >>> engine.route("general", b'{"type":"hello"}')
    1
    >>> [(instance, batch)] = engine.drain(force=True)
    >>> fanout.decode_batch(batch)[0].event
    b'{"type":"hello"}'

The engine needs no service, network or database. `docs/` describes the services.
"""

from fanout._freshness import REMEDY, refuse_stale_binary
from fanout.errors import (
    ChannelExists,
    ChannelNotFound,
    FanoutError,
    InvalidEvent,
    InvalidId,
    MembershipUnknown,
    OutcomeUnknown,
    PartitionLost,
    SnapshotRefused,
    StorageFull,
    TableFull,
    TooLarge,
    Unavailable,
)

try:
    from fanout._core import (
        BatchEvent,
        Deliveries,
        DeliveryBuffer,
        Engine,
        Hub,
        InboundBatch,
        LaneProgress,
        LogCache,
        ManualClock,
        Splitter,
        __version__,
        client_event,
        decode_batch,
        message_frame,
        partition_of,
        presence_digest,
        source_digest,
        text_frame,
    )
except ImportError as error:
    raise ImportError(f"the compiled core of fanout cannot be loaded ({error}): {REMEDY}") from error

refuse_stale_binary(source_digest)

__all__ = [
    "BatchEvent",
    "ChannelExists",
    "ChannelNotFound",
    "Deliveries",
    "DeliveryBuffer",
    "Engine",
    "FanoutError",
    "Hub",
    "InboundBatch",
    "InvalidEvent",
    "InvalidId",
    "LaneProgress",
    "LogCache",
    "ManualClock",
    "MembershipUnknown",
    "OutcomeUnknown",
    "PartitionLost",
    "SnapshotRefused",
    "Splitter",
    "StorageFull",
    "TableFull",
    "TooLarge",
    "Unavailable",
    "__version__",
    "client_event",
    "decode_batch",
    "message_frame",
    "partition_of",
    "presence_digest",
    "text_frame",
]
