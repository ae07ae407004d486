"""The streams, and how MESSAGES is cut into partitions.

A publisher knows nothing of partitions: the stream itself maps `messages.send.{channel}` to
`messages.send.{part}.{channel}` as it stores, so that one filter reads a partition. The number of partitions stands in
the stream's own config and nowhere else.
"""

import asyncio
import re
from dataclasses import dataclass
from typing import Any, Final

import structlog

from fanout.errors import FanoutError, Unavailable
from fanout.subjects import DEAD, MESSAGES, STREAM_SUBJECTS
from services.adapters.nats import api
from services.adapters.nats.connection import Connection

KEEP_S: Final = 7 * 86_400.0
"""Seconds that events are kept, unless configured."""

_KEEP_DEAD_S: Final = 30 * 86_400.0
_DEDUP_S: Final = 120
_PREFIX: Final = "messages.send."
_PARTITION: Final = re.compile(r"\{\{\s*partition\(\s*(\d+)\s*,\s*1\s*\)\s*\}\}")
_STREAM_EXISTS: Final = 10058
_PARTITIONED_TOKENS: Final = 4
_TRIES_AFTER_S: Final = (0.5, 1.0, 2.0)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How streams are created that do not exist; see `NatsLog.open`."""

    partitions: int
    replicas: int
    keep_s: float


async def ensure_streams(nc: Connection, settings: StreamSettings) -> int:
    """Create the streams that are missing, and add the subjects that an existing one lacks.

    Returns:
        the number of partitions that MESSAGES has.

    Raises:
        FanoutError: MESSAGES exists without partitions.
        Unavailable: JetStream cannot be reached.
    """
    configs = {stream: await _ensured(nc, _config(stream, settings)) for stream in STREAM_SUBJECTS}
    partitions = _partitions(configs[MESSAGES])
    if partitions != settings.partitions:
        _log.warning("nats.partitions_kept", stream_has=partitions, configured=settings.partitions)
    return partitions


async def existing_partitions(nc: Connection) -> int | None:
    """How many partitions MESSAGES has, or None where it is yet to be created; creates nothing.

    Raises:
        FanoutError: MESSAGES exists without partitions.
        Unavailable: JetStream cannot be reached.
    """
    try:
        return _partitions((await api.stream_info(nc, MESSAGES))["config"])
    except api.NotFound:
        return None


def partition_filter(partition: int) -> str:
    """The stored subjects of a partition."""
    return f"{_PREFIX}{partition}.*"


def published_subject(stored: str) -> str:
    """The subject as it was published, given the one that is stored."""
    if stored.startswith(_PREFIX) and stored.count(".") == _PARTITIONED_TOKENS - 1:
        return _PREFIX + stored.rpartition(".")[2]
    return stored


def _config(stream: str, settings: StreamSettings) -> dict[str, Any]:
    config: dict[str, Any] = {
        "name": stream,
        "subjects": list(STREAM_SUBJECTS[stream]),
        "retention": "limits",
        "discard": "old",
        "storage": "file",
        "num_replicas": settings.replicas,
        "max_age": int((_KEEP_DEAD_S if stream == DEAD else settings.keep_s) * api.NANOSECONDS),
        "duplicate_window": _DEDUP_S * api.NANOSECONDS,
    }
    if stream == MESSAGES:
        destination = f"{_PREFIX}{{{{partition({settings.partitions},1)}}}}.{{{{wildcard(1)}}}}"
        config["subject_transform"] = {"src": f"{_PREFIX}*", "dest": destination}
    return config


async def _ensured(nc: Connection, wanted: dict[str, Any]) -> dict[str, Any]:
    # The connection stands, so a failure is patience's matter: several processes that start at once create the same
    # streams, a disk may be slow to take them, and the server clears a deleted stream's directory behind its answer.
    for patience in _TRIES_AFTER_S:
        try:
            return await _ensure(nc, wanted)
        except Unavailable as error:
            _log.warning("nats.stream_not_ready", stream=wanted["name"], reason=str(error))
            await asyncio.sleep(patience)
    return await _ensure(nc, wanted)


async def _ensure(nc: Connection, wanted: dict[str, Any]) -> dict[str, Any]:
    stream = wanted["name"]
    try:
        found: dict[str, Any] = (await api.stream_info(nc, stream))["config"]
    except api.NotFound:
        return await _create(nc, wanted)
    missing = [subject for subject in wanted["subjects"] if subject not in found["subjects"]]
    if missing:
        await api.call(nc, f"STREAM.UPDATE.{stream}", found | {"subjects": found["subjects"] + missing})
    return found


async def _create(nc: Connection, wanted: dict[str, Any]) -> dict[str, Any]:
    stream = wanted["name"]
    try:
        return dict((await api.call(nc, f"STREAM.CREATE.{stream}", wanted))["config"])
    except api.Refused as error:
        if error.err_code != _STREAM_EXISTS:
            raise
    # Another process created it at the same moment, with its own settings.
    return dict((await api.stream_info(nc, stream))["config"])


def _partitions(config: dict[str, Any]) -> int:
    match = _PARTITION.search((config.get("subject_transform") or {}).get("dest", ""))
    if match is None:
        raise FanoutError(f"the stream {MESSAGES} exists without partitions; it was not created by Fanout")
    return int(match[1])
