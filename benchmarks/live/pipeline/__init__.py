"""The pipeline: from a stream to the inboxes of instances, and through the whole tier to sockets."""

from typing import Annotated

import msgspec
from msgspec import Meta


class PipelineOptions(msgspec.Struct, frozen=True):
    """How much goes through."""

    events: Annotated[int, Meta(ge=1, description="Events in the stream that is drained.")] = 200_000
    targets: Annotated[int, Meta(ge=1, description="Instances that each of them goes to.")] = 6
    channels: Annotated[int, Meta(ge=2, description="Channels, drawn at random.")] = 2_000
    rate: Annotated[float, Meta(ge=1, description="Messages per second through the tier.")] = 2_000.0
    readers: Annotated[float, Meta(ge=1, description="Deliveries of a message, on average.")] = 10.0
    seconds: Annotated[float, Meta(ge=0.5, description="Of each rate, on the clock.")] = 10.0
    warm_up_seconds: float = 3.0
    multiples: tuple[float, ...] = (0.25, 1.0, 2.0, 4.0)  # of the rate: they are tried until the tier does not keep up
    rounds: int = 3  # of draining, by each way
    plain_share: float = 1 / 8  # of the events, as many as the straightforward ways drain
    clients: int = 400
