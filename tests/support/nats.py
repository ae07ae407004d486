"""Connections to the NATS server of a test, and the log there, with short timings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fanout.errors import Unavailable
from services.adapters.embedded.deployment import EmbeddedDeployment
from services.adapters.nats import NatsConnection, NatsLog, connect
from tests.support.reading import until

HEARTBEAT_S = 0.25
UNHURRIED_S = 5.0
"""The heartbeat of a test that counts what interrupts a reader: a busy machine may keep silent for longer than two."""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[NatsConnection]:
    nc = await connect(url, name="test")
    try:
        yield nc
    finally:
        await nc.close()


async def open_log(nc: NatsConnection, partitions: int, heartbeat: float = HEARTBEAT_S) -> NatsLog:
    return await NatsLog.open(nc, EmbeddedDeployment("test"), partitions=partitions, heartbeat=heartbeat)


async def connected_again(nc: NatsConnection) -> None:
    async def answers() -> bool | None:
        try:
            await nc.ping()
        except Unavailable:
            return None
        return True

    await until(answers)
