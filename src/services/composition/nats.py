"""The log and the bus in NATS."""

import asyncio
from functools import partial
from typing import Final

from fanout.errors import FanoutError, Unavailable
from fanout.ports.bus import Bus
from fanout.streams import STREAMS
from fanout.subjects import WORKERS
from services.adapters.nats.bus import NatsBus
from services.adapters.nats.connection import NatsConnection, connect
from services.adapters.nats.inspection import StreamsFound, look_at_streams
from services.adapters.nats.log import NatsLog
from services.adapters.nats.names import Names
from services.adapters.nats_monitor import sync_interval
from services.composition.backends import Backends, Found, naming
from services.composition.deployment_id import deployment_of, existing_id
from services.composition.limits import EVERY_MESSAGE_FITS, LONGER_MESSAGES, look_at_bus
from services.runtime.settings import Settings

_LISTENS_S: Final = 1.5
"""Longer than the pause between two messages of a fan-out worker."""
_SHORT_SYNC_S: Final = 5.0
_SAFE_REPLICAS: Final = 3


async def connection(backends: Backends) -> NatsConnection:
    """Connect to NATS; call it through `Backends.shared`, for the log and the bus use one connection."""
    settings = backends.settings
    with naming("NATS_URL"):
        connected = await connect(str(settings.nats_url), name=f"fanout {settings.instance_id}")
    return backends.close_at_end(connected)


async def open_nats_bus(backends: Backends) -> NatsBus:
    """Open the bus; the connection stays its opener's to close."""
    return NatsBus(await backends.shared(connection), _names(backends.settings))


async def look_at_nats_bus(backends: Backends) -> Found:
    """Check the bus and its longest message."""
    return await look_at_bus("NATS", await backends.open(Bus))


async def open_nats_log(backends: Backends) -> NatsLog:
    """Open the log, and create the streams that are missing.

    Raises:
        ForeignStore: the streams belong to another deployment or program.
        FanoutError: their id was to be taken over while services of their deployment run.
    """
    nats = await backends.shared(connection)
    deployment = await deployment_of(backends)
    if backends.adopt and await deployment.existing_id() is None:
        await _require_nobody_at_work(await backends.open(Bus))
    opened = await NatsLog.open(
        nats,
        deployment,
        names=_names(backends.settings),
        partitions=backends.settings.partitions,
        replicas=backends.settings.stream_replicas,
        adopt=backends.adopt,
    )
    for stream, spec in STREAMS.items():
        if spec.may_be_missed:
            backends.watch(stream.lower(), partial(opened.ping_stream, stream))
    return backends.close_at_end(opened)


async def look_at_nats_log(backends: Backends) -> Found:
    """Check the streams and their consumers."""
    streams = await _streams(backends)
    weak = [f"{consumer}, and then discarded unread" for consumer in streams.behind]
    if streams.max_event is not None and streams.max_event < EVERY_MESSAGE_FITS:
        weak.append(f"a stream has a max_msg_size of {streams.max_event:,} bytes: {LONGER_MESSAGES}")
    if streams.partitions is None:
        return Found("NATS JetStream; its streams are created at the first start, or by `fanout migrate`", tuple(weak))
    return Found(f"NATS JetStream, {streams.partitions} partitions", tuple(weak))


async def nats_durability(backends: Backends) -> Found:
    """Say what an accepted message survives; see `docs/durability.md`."""
    try:
        streams = await _streams(backends)
    except FanoutError as error:
        raise Unavailable("this cannot be checked without the log") from error
    replicas = streams.replicas or backends.settings.stream_replicas
    return durability(replicas, await _slowest_sync(backends.settings))


def durability(replicas: int, sync_s: float | None) -> Found:
    """Say what an accepted message survives.

    Args:
        replicas: of the streams.
        sync_s: seconds between two syncs of a server's disk: 0 where it syncs before it acknowledges, None where
            nobody knows.
    """
    good = f"streams with {replicas} replica{'s' if replicas > 1 else ''}; {_synced(sync_s)}"
    if replicas >= _SAFE_REPLICAS or (sync_s is not None and sync_s <= _SHORT_SYNC_S):
        return Found(good)
    if sync_s is None:
        why = "how often the server syncs cannot be seen without FANOUT_NATS_MONITOR_URL; its default is 120 s"
    else:
        why = f"a server that loses power loses up to {sync_s:g} s of accepted messages"
    return Found(good, (f"{why}; see sync_interval and FANOUT_STREAM_REPLICAS in docs/durability.md",))


async def _streams(backends: Backends) -> StreamsFound:
    nats = await backends.shared(connection)
    return await look_at_streams(nats, _names(backends.settings), await existing_id(backends))


async def _require_nobody_at_work(bus: Bus) -> None:
    """The id of streams is taken over for a membership store that was lost, not for a second one.

    Raises:
        FanoutError: a worker of the deployment to which the streams belong is running.
    """
    heard = asyncio.Event()
    subscription = await bus.subscribe(WORKERS, lambda *_: heard.set())
    try:
        async with asyncio.timeout(_LISTENS_S):
            await heard.wait()
    except TimeoutError:
        return
    finally:
        await subscription.close()
    raise FanoutError("services of the deployment that these streams belong to are running: stop them first")


async def _slowest_sync(settings: Settings) -> float | None:
    """The longest interval of all servers in seconds, None where no server says it."""
    urls = (settings.nats_monitor_url or "").split(",")
    with naming("NATS_MONITOR_URL"):
        intervals = [await sync_interval(url.strip()) for url in urls if url]
    return max((interval for interval in intervals if interval is not None), default=None)


def _synced(sync_s: float | None) -> str:
    if sync_s is None:
        return "sync_interval not seen"
    return f"synced every {sync_s:g} s" if sync_s else "synced before a message is accepted"


def _names(settings: Settings) -> Names:
    return Names(settings.prefix)
