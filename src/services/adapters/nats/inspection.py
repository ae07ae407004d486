"""Inspects the streams for `fanout check`: finds what would stop a service that opens them, and creates nothing."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from fanout import machine
from fanout.errors import ForeignStore
from fanout.streams import ROUTED_STREAMS, STREAMS
from services.adapters.nats import api
from services.adapters.nats.connection import NatsConnection
from services.adapters.nats.foreign import refuse_overlap
from services.adapters.nats.names import Names
from services.adapters.nats.streams import StreamSettings, carried_id, lacking, partitions_of

_TOO_OLD: Final = 0.5
"""A share of the time that events are kept: a consumer that is further behind is reported."""


@dataclass(frozen=True)
class StreamsFound:
    """The streams of a deployment, as a server has them."""

    partitions: int | None
    """The number of partitions of each partitioned stream; None if none was created yet."""
    replicas: int | None
    """The smallest number of all streams; None where no stream exists."""
    max_event: int | None
    """Bytes of the longest event that every stream stores; None where no stream has a limit of its own."""
    behind: tuple[str, ...]
    """A sentence for each consumer for which unread events will soon be discarded."""


async def look_at_streams(nc: NatsConnection, names: Names, deployment: str | None) -> StreamsFound:
    """Inspect the streams; create nothing.

    Args:
        nc: the connection.
        names: of the deployment's streams and subjects.
        deployment: its id; None where it has none yet.

    Raises:
        ForeignStore: a stream belongs to another deployment or program, or another stream holds the subjects.
        FanoutError: a stream that should have partitions has none.
        Unavailable: JetStream cannot be reached.
    """
    found: dict[str, dict[str, Any]] = {}
    for stream in STREAMS:
        name = names.stream(stream)
        try:
            found[stream] = await api.stream_info(nc, name)
        except api.NoStream:
            await refuse_overlap(nc, name, names.stream_subjects(stream))
        else:
            _refuse_other(found[stream], names, stream, deployment)
    configs = [info["config"] for info in found.values()]
    limits = [config["max_msg_size"] for config in configs if config.get("max_msg_size", -1) > 0]
    return StreamsFound(
        partitions=next((partitions_of(info["config"]) for info in _of(found, ROUTED_STREAMS)), None),
        replicas=min((config["num_replicas"] for config in configs), default=None),
        max_event=min(limits, default=None),
        behind=tuple([line for stream, info in found.items() for line in await _behind(nc, stream, info)]),
    )


def _of(found: dict[str, dict[str, Any]], streams: Iterable[str]) -> list[dict[str, Any]]:
    """The info of those of these streams that exist."""
    return [found[stream] for stream in streams if stream in found]


def _refuse_other(info: dict[str, Any], names: Names, stream: str, deployment: str | None) -> None:
    carried = carried_id(info)
    if deployment is None and carried:
        raise ForeignStore(
            f"the stream {names.stream(stream)} is of deployment {carried}, and the membership store is of none yet: "
            "use the membership store of that deployment, or FANOUT_PREFIX for another one"
        )
    settings = StreamSettings(partitions=1, replicas=1, keep_s=0, deployment=deployment or "", names=names)
    lacking(info, settings, stream)


async def _behind(nc: NatsConnection, stream: str, info: dict[str, Any]) -> list[str]:
    kept_ns = info["config"].get("max_age", 0)
    if not kept_ns or not STREAMS[stream].has_waiting_readers:
        return []
    consumers = await api.consumer_names(nc, info["config"]["name"])
    behind = _never_run(stream, info, consumers) + await _slow(nc, info, consumers)
    return [f"{sentence}; {_days(kept_ns)} days are kept" for sentence in behind]


def _never_run(stream: str, info: dict[str, Any], consumers: list[str]) -> list[str]:
    """A service that nobody started has no consumer, and so no unread events that could be counted."""
    if not info["state"]["messages"]:
        return []
    name, missing = info["config"]["name"], [one for one in STREAMS[stream].durables if one not in consumers]
    return [f"no {one} has ever run: {name} holds events that it has not read" for one in missing]


async def _slow(nc: NatsConnection, info: dict[str, Any], consumers: list[str]) -> list[str]:
    stream, longest_ns = info["config"]["name"], info["config"]["max_age"] * _TOO_OLD
    said = []
    for name in consumers:
        try:
            age_ns = await _oldest_unread(nc, stream, name)
        except api.NotFound:
            continue  # it was deleted meanwhile
        if age_ns > longest_ns:
            said.append(f"{name} has not read events of {_days(age_ns)} days ago")
    return said


async def _oldest_unread(nc: NatsConnection, stream: str, consumer: str) -> int:
    """Nanoseconds since the oldest event was stored that a consumer has not acknowledged; 0 where there is none."""
    info = await api.consumer_info(nc, stream, consumer)
    if not info["num_pending"] + info["num_ack_pending"]:
        return 0
    subject = info["config"].get("filter_subject", ">")
    seq = await api.next_seq(nc, stream, subject, after=info["ack_floor"]["stream_seq"])
    if seq is None or (oldest := await api.stored_message(nc, stream, seq)) is None:
        return 0
    return machine.wall_ns() - oldest.stored_ns


def _days(duration_ns: int) -> str:
    return f"{duration_ns / api.NANOSECONDS / 86_400:.1f}"
