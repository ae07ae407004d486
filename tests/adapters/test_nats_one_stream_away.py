"""One stream alone that is away or gives no answer, as in a cluster where its replicas have no leader."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from fanout.errors import Unavailable
from fanout.ports.log import Reset
from fanout.streams import MESSAGES, RECEIPTS
from fanout.subjects import receipt
from services.adapters.nats import NatsConnection, NatsLog, api
from services.adapters.nats import tail as tail_module
from tests.support.nats import connected, open_log
from tests.support.reading import soon, until
from tests.support.servers import NatsServer

Fail = Callable[[str, str], None]


@pytest.fixture
async def log(nats_server: NatsServer) -> AsyncIterator[NatsLog]:
    async with connected(nats_server.url) as nc:
        opened = await open_log(nc, 1)
        yield opened
        await opened.close()


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Fail:
    """From now on, calls about a stream get no answer ("hung") or an error ("away")."""
    monkeypatch.setattr(tail_module, "_FORGET_WITHIN_S", 0.2)

    def begin(stream: str, fault: str) -> None:
        call = api.call

        async def failing(nc: NatsConnection, verb: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
            if stream in verb.split("."):
                await (asyncio.Event().wait() if fault == "hung" else asyncio.sleep(0))
                raise Unavailable("the stream has no leader")
            return await call(nc, verb, body)

        monkeypatch.setattr(api, "call", failing)

    return begin


@pytest.mark.parametrize("fault", ["away", "hung"])
async def test_another_stream_that_is_deleted_meanwhile_is_noticed(log: NatsLog, fail: Fail, fault: str) -> None:
    resets: list[Reset] = []
    log.on_reset(resets.append)
    fail(RECEIPTS, fault)
    await api.call(log._nc, f"STREAM.DELETE.{MESSAGES}")
    await until(lambda: asyncio.sleep(0, bool(resets) or None))
    assert [reset.stream for reset in resets] == [MESSAGES]


@pytest.mark.parametrize("fault", ["away", "hung"])
async def test_the_log_answers_without_one_that_may_be_missed(log: NatsLog, fail: Fail, fault: str) -> None:
    fail(RECEIPTS, fault)
    await soon(log.ping())


async def test_one_that_may_be_missed_is_asked_by_itself(log: NatsLog, fail: Fail) -> None:
    await log.ping_stream(RECEIPTS)
    fail(RECEIPTS, "away")
    with pytest.raises(Unavailable):
        await log.ping_stream(RECEIPTS)


async def test_the_log_is_away_without_one_that_may_not_be_missed(log: NatsLog, fail: Fail) -> None:
    fail(MESSAGES, "away")
    fail(RECEIPTS, "hung")
    with pytest.raises(Unavailable):
        await soon(log.ping())


async def test_whoever_gives_up_a_read_is_not_held(log: NatsLog, fail: Fail) -> None:
    seq = (await log.append(receipt("general"), b"{}", msg_id="one")).seq
    reading = log.read(RECEIPTS, after=0, upto=seq)
    assert (await soon(anext(reading))).seq == seq
    fail(RECEIPTS, "hung")
    await soon(reading.aclose())
