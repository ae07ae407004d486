"""How far a durable consumer of NATS has come: what the server says late, and after the log went back."""

from collections.abc import AsyncIterator

import pytest

from fanout.errors import Unavailable
from fanout.ports.log import Log
from fanout.streams import MESSAGES
from services.adapters.embedded.deployment import EmbeddedDeployment
from services.adapters.nats import NatsConnection, NatsLog, api
from services.runtime.tasks import retry_forever
from tests.support.nats import HEARTBEAT_S, connected, open_log
from tests.support.reading import append_messages, collect, seqs, soon, until
from tests.support.servers import NatsServer


@pytest.fixture
async def nc(nats_server: NatsServer) -> AsyncIterator[NatsConnection]:
    async with connected(nats_server.url) as connection:
        yield connection


async def reaches(log: Log, seq: int) -> None:
    async def reached() -> bool | None:
        return await log.acknowledged(MESSAGES, "writer") == seq or None

    await until(reached)


async def test_what_a_consumer_has_not_heard_of_is_not_acknowledged(
    nc: NatsConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await open_log(nc, 1)
    consumer = await log.consume(MESSAGES, "writer")
    [first] = await append_messages(log, "general", [1])
    await consumer.ack(await collect(consumer, 1))

    async def acknowledged() -> int | None:
        return await log.acknowledged(MESSAGES, "writer") or None

    assert await until(acknowledged) == first
    deaf = await api.consumer_info(nc, MESSAGES, "writer")

    async def consumer_info(*_: object) -> dict[str, object]:
        return deaf

    monkeypatch.setattr(api, "consumer_info", consumer_info)
    await append_messages(log, "general", [2])
    assert await log.acknowledged(MESSAGES, "writer") == first
    await nc.jsm().delete_msg(MESSAGES, first + 1)
    assert await log.acknowledged(MESSAGES, "writer") == first + 1
    await consumer.close()


async def test_a_stream_that_was_emptied_has_nothing_to_acknowledge(nc: NatsConnection) -> None:
    log = await open_log(nc, 1)
    await append_messages(log, "general", range(3))
    assert await log.acknowledged(MESSAGES, "writer") == 0
    await nc.jsm().purge_stream(MESSAGES)
    assert await log.acknowledged(MESSAGES, "writer") == 3


async def test_what_is_accepted_after_the_log_went_back_is_not_acknowledged_yet(
    nc: NatsConnection, nats_server: NatsServer
) -> None:
    log = await NatsLog.open(nc, EmbeddedDeployment("test"), heartbeat=HEARTBEAT_S)
    consumer = await log.consume(MESSAGES, "writer")
    given = await append_messages(log, "general", range(10))
    await consumer.ack(await collect(consumer, 10))
    await reaches(log, given[-1])
    saved = nats_server.save()
    await soon(retry_forever(log.ping, "waiting for the server"))
    given = await append_messages(log, "general", range(10, 60))
    await consumer.ack(await collect(consumer, 50))
    await reaches(log, given[-1])
    nats_server.lose_all_since(saved)
    new: list[int] = []
    while len(new) < 20:
        try:
            new += await append_messages(log, "general", [100 + len(new)])
        except Unavailable:
            continue
    assert await log.acknowledged(MESSAGES, "writer") < new[0]
    events = await collect(consumer, 20)
    assert seqs(events) == new
    assert await log.acknowledged(MESSAGES, "writer") < new[0]
    await consumer.ack(events)
    await reaches(log, new[-1])
    await consumer.close()
    await log.close()
