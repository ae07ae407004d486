"""Processes, stores and streams that do not belong together refuse to start. Contract section 4, "One deployment"."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from fanout.errors import FanoutError, ForeignStore
from fanout.ports.log import Log
from fanout.ports.messages import Messages
from fanout.ports.presence import Leases
from fanout.subjects import WORKERS
from services.adapters.nats import NatsBus
from services.composition.backends import Backends, Port
from services.composition.deployment_id import deployment_of
from services.composition.table import BACKENDS
from services.runtime.health import Health
from services.runtime.settings import load_settings
from tests.support.nats import connected
from tests.support.reading import append_messages
from tests.support.servers import NatsServer

Opener = Callable[..., Backends]


@pytest.fixture(params=["sqlite", "mongo"])
async def opened(
    request: pytest.FixtureRequest, tmp_path: Path, nats_server: NatsServer, redis_url: str
) -> AsyncIterator[Opener]:
    """Backends of a process, by the name of its data folder and its MongoDB database, and its prefix."""
    mongo_url = request.getfixturevalue("mongo_url") if request.param == "mongo" else None
    async with AsyncExitStack() as stack:

        def backends(folder: str, prefix: str = "", *, adopt: bool = False) -> Backends:
            settings = load_settings(
                nats_url=nats_server.url,
                redis_url=redis_url,
                mongo_url=mongo_url and f"{mongo_url}_{folder}",
                data_dir=tmp_path / folder,
                prefix=prefix,
                partitions=2,
            )
            return Backends(BACKENDS, settings, Health(), stack, alone=False, adopt=adopt)

        yield backends


async def _id(backends: Backends) -> str:
    for port in (Log, Leases, Messages):
        await backends.open(port)
    return str(await (await deployment_of(backends)).existing_id())


async def _look(backends: Backends) -> None:
    await backends.chosen(Log).look(backends)


async def test_processes_of_one_deployment_may_all_start_at_once(opened: Opener) -> None:
    ids = await asyncio.gather(*(_id(opened("one")) for _ in range(6)))
    assert len(set(ids)) == 1


async def test_another_membership_store_is_refused(opened: Opener) -> None:
    own = await _id(opened("one"))
    with pytest.raises(ForeignStore, match=own):
        await opened("two").open(Log)


@pytest.mark.parametrize("port", [Messages, Leases])
async def test_a_store_asks_the_log_before_an_id_is_made(opened: Opener, port: Port[Any]) -> None:
    own = await _id(opened("one"))
    backends = opened("two")
    with pytest.raises(ForeignStore, match=own):
        await backends.open(port)
    assert await (await deployment_of(backends)).existing_id() is None


async def test_a_prefix_and_a_folder_of_its_own_keep_a_second_deployment_apart(opened: Opener) -> None:
    one, two = opened("one"), opened("two", "x")
    assert await _id(one) != await _id(two)
    assert await append_messages(await one.open(Log), "general", range(3)) == [1, 2, 3]
    assert await append_messages(await two.open(Log), "general", range(1)) == [1]


async def test_one_membership_store_serves_one_prefix(opened: Opener) -> None:
    await _id(opened("one"))
    with pytest.raises(ForeignStore, match="FANOUT_PREFIX=x"):
        await opened("one", "x").open(Log)
    with pytest.raises(ForeignStore, match="FANOUT_PREFIX=x"):
        await _look(opened("one", "x"))


async def test_a_membership_store_that_was_lost_takes_over_the_id_of_its_streams(opened: Opener) -> None:
    own = await _id(opened("one"))
    assert await _id(opened("new", adopt=True)) == own
    assert await _id(opened("new")) == own


async def test_no_id_is_taken_over_while_its_deployment_runs(opened: Opener, nats_server: NatsServer) -> None:
    await _id(opened("one"))
    async with connected(nats_server.url) as nc:

        async def announce() -> None:
            while True:
                await NatsBus(nc).publish(WORKERS, b"{}")
                await asyncio.sleep(0.2)

        announcing = asyncio.create_task(announce())
        with pytest.raises(FanoutError, match="stop them first"):
            await opened("new", adopt=True).open(Log)
        announcing.cancel()
