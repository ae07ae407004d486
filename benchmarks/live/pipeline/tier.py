"""The whole tier as its operators run it: each service in a process of its own, between servers of its own."""

import asyncio
import os
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from benchmarks.errors import BenchError
from benchmarks.live.children import Child, stopped_after
from benchmarks.live.feed import PARTITIONS
from benchmarks.live.pipeline.audience import Audience, reader_name
from benchmarks.live.servers import Server, nats_server, redis_server
from fanout.events import timestamp
from fanout.ports.memberships import Channel
from fanout.subjects import MESSAGES
from services.adapters.nats.connection import connect
from services.adapters.sqlite.memberships import SqliteMemberships
from services.composition.data_files import MEMBERSHIPS_FILE

_FANOUT: Final = [sys.executable, "-P", "-c", "from services.cli.main import app; app()"]
_READY_WITHIN_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.02
_SECRET_BYTES: Final = 48


class Tier(msgspec.Struct, frozen=True):
    """Where it is reached, and which processes it consists of."""

    nats: Server
    ports: list[int]
    """Of the notification instances, on 127.0.0.1."""
    secret: str
    """That tokens are signed with."""
    pids: dict[str, int]


class _Line(msgspec.Struct):
    event: str = ""
    url: str = ""


@contextmanager
def tier(folder: Path, audience: Audience, instances: int) -> Iterator[Tier]:
    """Run nats-server, redis-server, one fan-out worker and notification instances for the length of the context.

    Args:
        folder: for their data and logs.
        audience: whose memberships are stored.
        instances: how many notification instances.

    Raises:
        BenchError: a server is missing, or something does not start.
    """
    data = folder / "data"
    data.mkdir()
    asyncio.run(_store(audience, data / MEMBERSHIPS_FILE))
    with ExitStack() as stack:
        nats, redis = stack.enter_context(nats_server(folder)), stack.enter_context(redis_server(folder))
        settings = {
            "NATS_URL": nats.url,
            "REDIS_URL": redis.url,
            "DATA_DIR": str(data),
            "JWT_SECRET": secrets.token_urlsafe(_SECRET_BYTES),
            "HEARTBEAT_TIMEOUT_S": "600",  # the clients send none
        }
        kinds = {"fanout": "fanout"} | {f"notification-{at}": "notification" for at in range(1, instances + 1)}
        children = {
            name: stack.enter_context(stopped_after(_service(name, kind, settings, folder)))
            for name, kind in kinds.items()
        }
        for child in children.values():
            _await_line(child, "ready")
        asyncio.run(_partitions_read(nats.url))
        ports = [_port(child) for name, child in children.items() if kinds[name] == "notification"]
        pids = {"nats-server": nats.pid, "redis-server": redis.pid} | {
            name: each.pid for name, each in children.items()
        }
        yield Tier(nats, ports, settings["JWT_SECRET"], pids)


def _service(name: str, kind: str, settings: dict[str, str], folder: Path) -> Child:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("FANOUT_")}
    own = {"INSTANCE_ID": name, "LISTEN": "127.0.0.1:0", "WS_LISTEN": "127.0.0.1:0", "LOG_FORMAT": "json"}
    env = inherited | {f"FANOUT_{key}": value for key, value in (settings | own).items()}
    return Child(name, [*_FANOUT, "serve", kind], folder, env)


def _port(child: Child) -> int:
    port = urlsplit(_await_line(child, "serves WebSockets").url).port
    if port is None:
        raise child.refused("does not say where it serves WebSockets:")
    return port


def _await_line(child: Child, event: str) -> _Line:
    deadline = time.monotonic() + _READY_WITHIN_S
    while True:
        for line in _lines(child):
            if line.event == event:
                return line
        if not child.running:
            raise child.refused("ended:")
        if time.monotonic() > deadline:
            raise child.refused(f"is not ready after {_READY_WITHIN_S:.0f} s:")
        time.sleep(_LOOK_EVERY_S)


def _lines(child: Child) -> Iterator[_Line]:
    for text in child.log().splitlines():
        if text.startswith("{") and text.endswith("}"):
            yield msgspec.json.decode(text, type=_Line)


async def _store(audience: Audience, path: Path) -> None:
    memberships = await SqliteMemberships.open(path)
    try:
        for channels in _slices(list(enumerate(audience.names))):
            creations = (
                memberships.create(
                    Channel(name, name, private=False, created_by=reader_name(0), created_at=timestamp()),
                    list(map(reader_name, audience.members[channel])),
                    told=True,
                )
                for channel, name in channels
            )
            await asyncio.gather(*creations)
    finally:
        await memberships.close()


def _slices(channels: Sequence[tuple[int, str]], length: int = 1_000) -> Iterator[Sequence[tuple[int, str]]]:
    return (channels[at : at + length] for at in range(0, len(channels), length))


async def _partitions_read(url: str) -> None:
    """Return when every partition has its reader."""
    nc = await connect(url, name="fanout bench")
    deadline = time.monotonic() + _READY_WITHIN_S
    while len(await nc.jetstream().consumers_info(MESSAGES)) < PARTITIONS:
        if time.monotonic() > deadline:
            raise BenchError(f"the fan-out worker does not read all partitions after {_READY_WITHIN_S:.0f} s")
        await asyncio.sleep(_LOOK_EVERY_S)
    await nc.close()
