"""A log adapter whose own background work fails tells everyone who reads: no part of a process stays half alive."""

import asyncio
from collections.abc import Sequence

import pytest

from fanout.errors import Unavailable
from fanout.ports.log import StoredEvent
from fanout.streams import MESSAGES, META
from services.adapters.embedded.log import EmbeddedLog
from services.adapters.nats import work_queue
from services.adapters.nats.work_queue import NatsConsumer
from tests.support.nats import connected, open_log
from tests.support.reading import append_messages, collect, soon
from tests.support.servers import NatsServer

FAULT = "a fault in the program"


async def _fail(*_: object) -> None:
    raise LookupError(FAULT)


async def test_an_embedded_log_that_fails_ends_its_readers_and_is_unavailable_to_everyone_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = await EmbeddedLog.open(None)
    consumer, tail = await log.consume(MESSAGES, "writer"), await log.tail(MESSAGES, after=0)
    reader = await log.claim(MESSAGES, 0, "worker-1")
    fetching: list[asyncio.Task[Sequence[StoredEvent]]] = [
        asyncio.create_task(consumer.fetch()),
        asyncio.create_task(tail.fetch()),
        asyncio.create_task(reader.fetch()),
    ]
    with monkeypatch.context() as broken:
        broken.setattr(log._store, "save", _fail)
        broken.setattr(log, "_saved_floors", {})
        done, _ = await asyncio.wait(fetching, timeout=10)
    assert [str(task.exception()) for task in fetching if task in done] == [FAULT] * 3
    for call in (log.ping(), log.last_seq(META), log.append("messages.send.general", b"1", msg_id="one")):
        with pytest.raises(Unavailable, match=FAULT):
            await call
    await log.close()


async def test_a_nats_log_that_is_compared_no_more_ends_its_readers_and_is_unavailable_to_everyone_else(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(nats_server.url) as nc:
        log = await open_log(nc, 1)
        consumer, tail = await log.consume(MESSAGES, "writer"), await log.tail(MESSAGES, after=0)
        reader = await log.claim(MESSAGES, 0, "worker-1")
        fetching: list[asyncio.Task[Sequence[StoredEvent]]] = [
            asyncio.create_task(consumer.fetch()),
            asyncio.create_task(tail.fetch()),
            asyncio.create_task(reader.fetch()),
        ]
        with monkeypatch.context() as broken:
            broken.setattr(log._streams[META], "_compare", _fail)
            done, _ = await asyncio.wait(fetching, timeout=10)
        assert [str(task.exception()) for task in fetching if task in done] == [FAULT] * 3
        for call in (log.ping(), log.last_seq(META), log.append("messages.send.general", b"1", msg_id="one")):
            with pytest.raises(Unavailable, match=FAULT):
                await call
        for opened in (consumer, tail, reader, log):
            await opened.close()


async def test_a_consumer_that_can_no_longer_claim_what_it_holds_tells_its_worker(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_queue, "_CLAIM_EVERY_S", 0.05)
    async with connected(nats_server.url) as nc:
        log = await open_log(nc, 1)
        await append_messages(log, "general", [1])
        consumer = await log.consume(MESSAGES, "writer", batch=2)
        assert isinstance(consumer, NatsConsumer)
        monkeypatch.setattr(consumer._acks, "send", _fail)
        await collect(consumer, 1)
        with pytest.raises(LookupError):
            await soon(consumer.fetch())
        await consumer.close()
