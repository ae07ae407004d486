"""The whole tier as operators run it: each service in a process of its own, with a nats-server and a redis-server."""

import asyncio
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.errors import BenchError
from benchmarks.live.pipeline.audience import Audience
from benchmarks.live.servers import Server, await_answer, free_port, nats_server, redis_server
from benchmarks.live.stored_events import PARTITIONS
from benchmarks.population import user_name
from benchmarks.processes import Program, clean_environment
from fanout.events import timestamp
from fanout.ports.memberships import Channel
from fanout.streams import MESSAGES
from services.adapters.nats.connection import connect
from services.adapters.sqlite.memberships import SqliteMemberships
from services.composition.data_files import MEMBERSHIPS_FILE

_FANOUT: Final = [sys.executable, "-P", "-c", "from services.cli.main import app; app()"]
_READY_WITHIN_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.02
_SECRET_BYTES: Final = 48
_CREATED_AT_ONCE: Final = 1_000
_HOST: Final = "127.0.0.1"


class Tier(msgspec.Struct, frozen=True):
    """Where it is reached, and its processes."""

    nats: Server
    ports: list[int]
    """Of the notification instances, on 127.0.0.1."""
    secret: str
    """Signs the tokens."""
    pids: dict[str, int]


@contextmanager
def tier(folder: Path, audience: Audience, instances: int) -> Iterator[Tier]:
    """Run nats-server, redis-server, one fan-out worker and notification instances for the length of the context.

    Args:
        folder: for their data.
        audience: whose memberships are stored.
        instances: how many notification instances.

    Raises:
        BenchError: a server is missing, or something does not start.
    """
    data = folder / "data"
    data.mkdir()
    asyncio.run(_store_memberships(audience, data / MEMBERSHIPS_FILE))
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
        started = {name: _start(stack, name, kind, settings, folder) for name, kind in kinds.items()}
        for program, health_port, _ in started.values():
            await_answer(program, health_port, b"GET /readyz HTTP/1.1\r\nHost: bench\r\n\r\n", b"HTTP/1.1 200 ")
        asyncio.run(_until_partitions_are_read(nats.url))
        ports = [port for name, (_, _, port) in started.items() if kinds[name] == "notification"]
        pids = {name: program.pid for name, (program, _, _) in started.items()}
        yield Tier(nats, ports, settings["JWT_SECRET"], {"nats-server": nats.pid, "redis-server": redis.pid} | pids)


def _start(stack: ExitStack, name: str, kind: str, settings: dict[str, str], folder: Path) -> tuple[Program, int, int]:
    """Start a service; its program, and its ports for health checks and for WebSockets."""
    health, sockets = free_port(), free_port()
    own = {
        "INSTANCE_ID": name,
        "LISTEN": f"{_HOST}:{health}",
        "WS_LISTEN": f"{_HOST}:{sockets}",
        "LOG_FORMAT": "json",
    }
    env = clean_environment() | {f"FANOUT_{key}": value for key, value in (settings | own).items()}
    return stack.enter_context(Program(name, [*_FANOUT, "serve", kind], folder=folder, env=env)), health, sockets


async def _store_memberships(audience: Audience, path: Path) -> None:
    memberships = await SqliteMemberships.open(path)
    creations = [
        memberships.create(
            Channel(name, name, private=False, created_by=user_name(0), created_at=timestamp()),
            list(map(user_name, members)),
            told=True,
        )
        for name, members in zip(audience.names, audience.members, strict=True)
    ]
    try:
        for start in range(0, len(creations), _CREATED_AT_ONCE):
            await asyncio.gather(*creations[start : start + _CREATED_AT_ONCE])
    finally:
        await memberships.close()


async def _until_partitions_are_read(url: str) -> None:
    """Return when every partition has its reader."""
    nc = await connect(url, name="fanout bench")
    deadline = time.monotonic() + _READY_WITHIN_S
    while len(await nc.jetstream().consumers_info(MESSAGES)) < PARTITIONS:
        if time.monotonic() > deadline:
            raise BenchError(f"the fan-out worker does not read all partitions after {_READY_WITHIN_S:.0f} s")
        await asyncio.sleep(_LOOK_EVERY_S)
    await nc.close()
