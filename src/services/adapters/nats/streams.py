"""The streams' configuration, and how a stream is cut into partitions.

Publishers need not know the partitions: a partitioned stream itself maps, say, `messages.send.{channel}` to
`messages.send.{part}.{channel}` when it stores an event, so that a reader of a partition filters by one subject. Only
the stream's config says how many partitions it has. The stream's metadata contains the id of the deployment.
"""

import re
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from fanout import machine
from fanout.errors import FanoutError, ForeignStore
from fanout.streams import STREAMS
from services.adapters.nats import api
from services.adapters.nats.connection import NatsConnection
from services.adapters.nats.foreign import refuse_foreign, refuse_overlap
from services.adapters.nats.names import Names
from services.runtime.tasks import retry_times

DEPLOYMENT: Final = "fanout_deployment"
"""The key of the deployment's id in a stream's metadata."""

_PARTITION: Final = re.compile(r"\{\{\s*partition\(\s*(\d+)\s*,\s*1\s*\)\s*\}\}")
_STREAM_EXISTS: Final = 10058
_SUBJECTS_OVERLAP: Final = 10065
_ATTEMPTS: Final = 7
"""They take 3 s where each fails at once, and 17 s where each waits for an answer in vain."""
_ADOPT: Final = "`fanout migrate --adopt` takes it over"


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How streams are created that do not exist; see `NatsLog.open`."""

    partitions: int
    replicas: int
    keep_s: float
    deployment: str
    names: Names
    adopt: bool = False
    """Take over streams that hold events and carry no deployment's id."""


async def ensured(nc: NatsConnection, settings: StreamSettings, stream: str, *, known: bool) -> dict[str, Any]:
    """Return the stream's info. A missing stream is created; one that lacks subjects or the id is updated.

    Args:
        nc: the connection.
        settings: how it is created.
        stream: which.
        known: the deployment had it before, so a new one begins above all sequences of the old one.

    Raises:
        FanoutError: a stream of that name exists that does not belong to this deployment.
        Unavailable: JetStream cannot be reached.
    """
    # There is a connection, so a failure should pass soon: several processes that start at once create the same
    # streams, a disk may be slow, and the server removes a deleted stream's directory after it has answered.
    attempt = partial(ensured_at_once, nc, settings, stream, known=known)
    return await retry_times(_ATTEMPTS, attempt, f"opening the stream {stream}")


async def ensured_at_once(nc: NatsConnection, settings: StreamSettings, stream: str, *, known: bool) -> dict[str, Any]:
    """`ensured`, in one attempt."""
    name = settings.names.stream(stream)
    try:
        found = await api.stream_info(nc, name)
    except api.NoStream:
        first = {"first_seq": machine.wall_ns() // 1_000} if known else {}
        found = await _created(nc, name, _config(stream, settings) | first)
    changes = lacking(found, settings, stream)
    return await _updated(nc, found, changes) if changes else found


async def existing_ids(nc: NatsConnection, names: Names) -> dict[str, str]:
    """The deployment's id in each stream, by the stream's name. Missing streams and those without an id are left out.

    Raises:
        Unavailable: JetStream cannot be reached.
    """
    ids = {}
    for stream in STREAMS:
        try:
            info = await api.stream_info(nc, names.stream(stream))
        except api.NoStream:
            continue
        if carried := carried_id(info):
            ids[names.stream(stream)] = carried
    return ids


def lacking(found: dict[str, Any], settings: StreamSettings, stream: str) -> dict[str, Any]:
    """The changes that an existing stream's config needs: subjects, id and the dedup window, as far as it lacks them.

    Raises:
        ForeignStore: it belongs to another deployment, or to another program.
    """
    refuse_foreign(found["config"], settings.names.stream_subjects(stream))
    return _missing_subjects(found, settings, stream) | _missing_id(found, settings) | _missing_window(found, stream)


def carried_id(info: dict[str, Any]) -> str:
    """The id of the deployment in a stream's metadata; empty where it carries none."""
    return str((info["config"].get("metadata") or {}).get(DEPLOYMENT, ""))


def partitions_of(config: dict[str, Any]) -> int:
    """How many partitions a stream has by its config.

    Raises:
        FanoutError: it has none.
    """
    match = _PARTITION.search((config.get("subject_transform") or {}).get("dest", ""))
    if match is None:
        raise FanoutError(
            f"the stream {config['name']} exists without partitions; it was not created by Fanout: "
            "set FANOUT_PREFIX, and Fanout uses streams of its own"
        )
    return int(match[1])


def _config(stream: str, settings: StreamSettings) -> dict[str, Any]:
    names, spec = settings.names, STREAMS[stream]
    keep_s = settings.keep_s if spec.keep_s is None else spec.keep_s
    config: dict[str, Any] = {
        "name": names.stream(stream),
        "subjects": names.stream_subjects(stream),
        "retention": "limits",
        "discard": "old",
        "storage": "file",
        "num_replicas": settings.replicas,
        "max_age": int(keep_s * api.NANOSECONDS),
        "duplicate_window": int(spec.dedup_s * api.NANOSECONDS),
        "metadata": {DEPLOYMENT: settings.deployment},
    }
    if spec.partitioned:
        by_partition = names.partition(stream, f"{{{{partition({settings.partitions},1)}}}}")
        source, destination = config["subjects"][0], by_partition.replace("*", "{{wildcard(1)}}")
        config["subject_transform"] = {"src": source, "dest": destination}
    return config


def _missing_subjects(found: dict[str, Any], settings: StreamSettings, stream: str) -> dict[str, Any]:
    held = found["config"].get("subjects") or []
    missing = [subject for subject in settings.names.stream_subjects(stream) if subject not in held]
    return {"subjects": held + missing} if missing else {}


def _missing_id(found: dict[str, Any], settings: StreamSettings) -> dict[str, Any]:
    name, carried = found["config"]["name"], carried_id(found)
    if carried == settings.deployment:
        return {}
    if carried:
        raise ForeignStore(f"the stream {name} is of deployment {carried}, and this is {settings.deployment}")
    if found["state"]["messages"] and not settings.adopt:
        raise ForeignStore(f"the stream {name} holds events and carries no deployment's id; {_ADOPT}")
    return {"metadata": (found["config"].get("metadata") or {}) | {DEPLOYMENT: settings.deployment}}


def _missing_window(found: dict[str, Any], stream: str) -> dict[str, Any]:
    wanted = int(STREAMS[stream].dedup_s * api.NANOSECONDS)
    return {"duplicate_window": wanted} if found["config"].get("duplicate_window", 0) < wanted else {}


async def _created(nc: NatsConnection, name: str, config: dict[str, Any]) -> dict[str, Any]:
    try:
        return await api.call(nc, f"STREAM.CREATE.{name}", config)
    except api.RequestRefused as error:
        if error.err_code == _SUBJECTS_OVERLAP:
            await refuse_overlap(nc, name, config["subjects"])
        if error.err_code != _STREAM_EXISTS:
            raise
    # Another process created it at the same moment, with its own settings.
    return await api.stream_info(nc, name)


async def _updated(nc: NatsConnection, found: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    name = found["config"]["name"]
    try:
        return await api.call(nc, f"STREAM.UPDATE.{name}", found["config"] | changes)
    except api.RequestRefused as error:
        if error.err_code == _SUBJECTS_OVERLAP:
            await refuse_overlap(nc, name, changes["subjects"])
        raise
