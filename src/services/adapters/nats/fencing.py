"""Fencing: the owner of the consumer `fan-out-{partition}-{epoch}` with the highest epoch reads the partition.

Creating a consumer is the compare-and-swap: the server refuses a name that exists with another config, and a random
token makes each claimant's config different, so an epoch has one owner. The new owner then deletes the older consumers,
which ends the pulls of their readers. A reader whose pull was interrupted looks for a higher epoch before it goes on,
so a reader that was away while several epochs passed does not come back either.

The position of an epoch is the sequence up to which its reader acknowledged everything. Each epoch begins where the
acknowledgements of an earlier one ended, so the highest position of all epochs is the position of the partition. A
consumer carries the generation of the stream's record by which it was read: events renumbered since count as not read.

Epochs also rise when the server has lost consumers. When it has lost events too, the generation of the record is a new
one, and its epochs are above those of the one before. It may have lost consumers alone: their epochs are then given by
the time, so that a worker does not give one again that another has had. This holds while the workers' clocks are apart
by less than a partition stays with its reader. Otherwise instances drop the batches of the lower epoch
(`fanout_stale_events_dropped_total` counts them) until a claim has a higher one.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from fanout import machine
from fanout.errors import PartitionLost
from services.adapters.nats import api
from services.adapters.nats.stream import NatsStream

_NAME: Final = re.compile(r"fan-out-(\d+)-(\d+)")
_ACK_WAIT_S: Final = 60
_MAX_ACK_PENDING: Final = 10_000
_EPOCHS_OF_A_GENERATION: Final = 1 << 42
"""One for each millisecond since 1970, until the year 2109."""


GENERATION: Final = "generation"
"""The key of the record's generation in a consumer's metadata."""


def generation_of(info: dict[str, Any]) -> int:
    """The generation that a consumer carries, by its info."""
    return int((info["config"].get("metadata") or {}).get(GENERATION, 0))


def consumer_name(partition: int, epoch: int) -> str:
    """The consumer of an epoch."""
    return f"fan-out-{partition}-{epoch}"


@dataclass(frozen=True, slots=True)
class Claimant:
    """A worker that claims a partition."""

    partition: int
    owner: str
    """The worker's name, shown to people who inspect the log."""
    token: str
    """Random, so that no two readers' consumers have the same config."""

    def metadata(self, generation: int) -> dict[str, str]:
        """The metadata of its consumers."""
        return {"owner": self.owner, "token": self.token, GENERATION: str(generation)}


def following(stream: NatsStream, existing: list[int]) -> int:
    """The epoch after those that exist, all of earlier generations, and those that were given before now."""
    now_ms = machine.wall_ns() // 1_000_000
    return max([(stream.record.generation - 1) * _EPOCHS_OF_A_GENERATION + now_ms, *existing]) + 1


async def epochs(stream: NatsStream, partition: int) -> list[int]:
    """The epochs of a partition whose consumers exist, rising.

    Raises:
        Unavailable: JetStream cannot be reached.
    """
    matches = (_NAME.fullmatch(name) for name in await api.consumer_names(stream.nc, stream.name))
    return sorted(int(match[2]) for match in matches if match and int(match[1]) == partition)


async def position(stream: NatsStream, partition: int, of_epochs: list[int]) -> int:
    """Up to where these epochs' readers acknowledged everything.

    Raises:
        PartitionLost: one of them was deleted at this moment: another worker is claiming the partition.
        Unavailable: JetStream cannot be reached.
    """
    positions = [0]
    for epoch in of_epochs:
        try:
            info = await api.consumer_info(stream.nc, stream.name, consumer_name(partition, epoch))
            positions.append(stream.record.floor(_acknowledged(info), generation_of(info)))
        except api.NotFound as error:
            raise PartitionLost(f"partition {partition} is being claimed by another worker") from error
    return max(positions)


async def take(stream: NatsStream, claimant: Claimant, epoch: int, after: int) -> None:
    """Claim an epoch, and end the older ones.

    Args:
        stream: one that is partitioned.
        claimant: the reader from now on.
        epoch: higher than every epoch that exists.
        after: the new epoch begins with the event after this position.

    Raises:
        PartitionLost: another claimant has this epoch, or a higher one.
        Unavailable: JetStream cannot be reached; the claim may have succeeded.
    """
    partition = claimant.partition
    try:
        await api.create_consumer(stream.nc, stream.name, _config(stream, claimant, epoch, after))
    except api.RequestRefused as error:
        if error.err_code != api.CONSUMER_EXISTS:
            raise
        raise PartitionLost(f"another worker claimed partition {partition} at the same moment") from error
    existing = await epochs(stream, partition)
    if existing and existing[-1] > epoch:
        await api.delete_consumer(stream.nc, stream.name, consumer_name(partition, epoch))
        raise PartitionLost(f"partition {partition} is at epoch {existing[-1]} already")
    for older in (one for one in existing if one < epoch):
        await api.delete_consumer(stream.nc, stream.name, consumer_name(partition, older))


async def owned_by(stream: NatsStream, claimant: Claimant, epoch: int) -> bool:
    """Whether an epoch's consumer was created for this claimant.

    Raises:
        Unavailable: JetStream cannot be reached.
    """
    try:
        info = await api.consumer_info(stream.nc, stream.name, consumer_name(claimant.partition, epoch))
    except api.NotFound:
        return False
    return bool((info["config"].get("metadata") or {}).get("token") == claimant.token)


def _acknowledged(info: dict[str, Any]) -> int:
    acknowledged: int = info["ack_floor"]["stream_seq"]
    before_start: int = info["config"].get("opt_start_seq", 1) - 1
    return max(acknowledged, before_start)


def _config(stream: NatsStream, claimant: Claimant, epoch: int, after: int) -> dict[str, object]:
    name = consumer_name(claimant.partition, epoch)
    return {
        "name": name,
        "durable_name": name,
        "deliver_policy": "by_start_sequence",
        "opt_start_seq": stream.record.sequence(after) + 1,
        "filter_subject": stream.subject_of(claimant.partition),
        "ack_policy": "all",  # one reader, in order: an acknowledgement for each event is half of the server's work
        "ack_wait": _ACK_WAIT_S * api.NANOSECONDS,
        "max_ack_pending": _MAX_ACK_PENDING,
        "metadata": claimant.metadata(stream.record.generation),
    }
