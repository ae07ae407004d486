"""The whole tier as operators run it: each service in a process of its own, with a nats-server and a redis-server."""

import asyncio
import secrets
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import nats

from benchmarks.live.pipeline.readers import Audience
from benchmarks.live.servers import await_answer, free_port, running
from benchmarks.live.stored_events import PARTITIONS
from benchmarks.population import user_name
from benchmarks.processes import Program
from fanout.events import timestamp
from fanout.ports.memberships import Channel
from fanout.streams import MESSAGES
from services.adapters.sqlite.memberships import SqliteMemberships
from services.composition.data_files import MEMBERSHIPS_FILE

_FANOUT: Final = [sys.executable, "-P", "-c", "from services.cli.main import app; app()"]
_READY_WITHIN_S: Final = 60.0
_CREATED_AT_ONCE: Final = 1_000


class Tier(NamedTuple):
    """Where it is reached on 127.0.0.1, and its processes."""

    nats_port: int
    port: int
    """Of the notification instance."""
    secret: str
    """Signs the tokens."""
    pids: dict[str, int]


@contextmanager
def tier(folder: Path, audience: Audience) -> Iterator[Tier]:
    """Run a worker and an instance for the length of the context, with their servers and the audience's memberships."""
    asyncio.run(_store_memberships(audience, folder / MEMBERSHIPS_FILE))
    ports, secret = {}, secrets.token_urlsafe(48)
    with ExitStack() as stack:
        servers = {name: stack.enter_context(running(name, folder)) for name in ("nats-server", "redis-server")}
        pids = {name: server.pid for name, server in servers.items()}
        for kind, name in {"fanout": "fanout", "notification": "notification-1"}.items():
            health, ports[kind] = free_port(), free_port()
            settings = {
                "FANOUT_NATS_URL": servers["nats-server"].url,
                "FANOUT_REDIS_URL": servers["redis-server"].url,
                "FANOUT_DATA_DIR": str(folder),
                "FANOUT_JWT_SECRET": secret,
                "FANOUT_HEARTBEAT_TIMEOUT_S": "600",  # the clients send none
                "FANOUT_INSTANCE_ID": name,
                "FANOUT_LISTEN": f"127.0.0.1:{health}",
                "FANOUT_WS_LISTEN": f"127.0.0.1:{ports[kind]}",
                "FANOUT_LOG_FORMAT": "json",
            }
            program = stack.enter_context(Program(name, [*_FANOUT, "serve", kind], settings))
            await_answer(program, health, b"GET /readyz HTTP/1.1\r\nHost: bench\r\n\r\n", b"HTTP/1.1 200 ")
            pids[name] = program.pid
        asyncio.run(_until_partitions_are_read(servers["nats-server"].url))
        yield Tier(servers["nats-server"].port, ports["notification"], secret, pids)


async def _store_memberships(audience: Audience, path: Path) -> None:
    memberships, created_at = await SqliteMemberships.open(path), timestamp()
    creations = [
        memberships.create(
            Channel(name, name, private=False, created_by=user_name(0), created_at=created_at),
            list(map(user_name, members)),
            published=True,
        )
        for name, members in zip(audience.names, audience.members, strict=True)
    ]
    for start in range(0, len(creations), _CREATED_AT_ONCE):
        await asyncio.gather(*creations[start : start + _CREATED_AT_ONCE])
    await memberships.close()


async def _until_partitions_are_read(url: str) -> None:
    nc = await nats.connect(url)
    async with asyncio.timeout(_READY_WITHIN_S):
        while len(await nc.jetstream().consumers_info(MESSAGES)) < PARTITIONS:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await nc.close()
