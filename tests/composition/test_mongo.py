"""Memberships in MongoDB, as a process opens them and `fanout check` looks at them."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from fanout.errors import Unavailable
from fanout.ports.memberships import Channel, Memberships
from services.adapters.mongo.memberships import MongoMemberships
from services.composition.backends import Backends
from services.composition.deployment_id import deployment_id, existing_id
from services.composition.mongo import existing_mongo_id
from services.composition.table import BACKENDS
from services.runtime.health import Health
from services.runtime.settings import ConfigurationError, load_settings
from tests.support.servers import MongoServer, free_port

GENERAL = Channel("general", "General", private=False, created_by="alice", created_at="2026-02-01T10:00:00.000Z")
Opener = Callable[..., Backends]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Opener]:
    async with AsyncExitStack() as stack:

        def backends(url: str, folder: str = "data", **settings: Any) -> Backends:
            loaded = load_settings(mongo_url=url, data_dir=tmp_path / folder, **settings)
            return Backends(BACKENDS, loaded, Health(), stack, alone=True)

        yield backends


async def test_every_process_finds_what_another_has_written(opened: Opener, mongo_url: str) -> None:
    await (await opened(mongo_url).open(Memberships)).create(GENERAL, ["alice"])
    assert await (await opened(mongo_url).open(Memberships)).packed_channels_of("alice") == b"general"


async def test_the_id_is_read_and_nothing_is_made(opened: Opener, mongo_url: str) -> None:
    assert await existing_id(opened(mongo_url)) is None
    assert not (await MongoMemberships.look(mongo_url)).created
    backends = opened(mongo_url)
    made = await deployment_id(backends)
    assert await existing_mongo_id(opened(mongo_url)) == made


async def test_looking_says_which_database_and_whether_it_is_there(opened: Opener, mongo_url: str) -> None:
    name = mongo_url.rpartition("/")[2]
    backends = opened(mongo_url)
    found = await backends.chosen(Memberships).look(backends)
    assert found.good == f"MongoDB, database {name}; its indexes are created at the first start, or by `fanout migrate`"
    assert "no replica set" in found.weak[0]
    await backends.open(Memberships)
    assert (await backends.chosen(Memberships).look(backends)).good == f"MongoDB, database {name}"


async def test_the_prefix_names_the_database(opened: Opener, mongo_server: MongoServer) -> None:
    await opened(mongo_server.url, prefix="x").open(Memberships)
    await opened(mongo_server.url).open(Memberships)
    assert (await MongoMemberships.look(f"{mongo_server.url}/x_fanout", prefix="x")).created
    assert (await MongoMemberships.look(f"{mongo_server.url}/fanout")).created


async def test_the_setting_is_named_where_the_server_does_not_answer(opened: Opener) -> None:
    backends = opened(f"mongodb://user:hunter2@127.0.0.1:{free_port()}")
    with pytest.raises(Unavailable, match=r"^FANOUT_MONGO_URL: no MongoDB server lets us in") as caught:
        await backends.open(Memberships)
    assert "hunter2" not in str(caught.value)


async def test_an_address_that_the_client_does_not_understand_is_a_configuration_error(opened: Opener) -> None:
    backends = opened("mongodb://user:hunter2@127.0.0.1/?tlsCAFile=/no/such/hunter2")
    for call in (backends.open(Memberships), backends.chosen(Memberships).look(backends)):
        with pytest.raises(ConfigurationError, match="FANOUT_MONGO_URL: ") as caught:
            await call
        assert "hunter2" not in str(caught.value)


async def test_readyz_says_that_it_is_away(tmp_path: Path, mongo_server: MongoServer) -> None:
    async with AsyncExitStack() as stack:
        health = Health()
        settings = load_settings(mongo_url=mongo_server.url, data_dir=tmp_path / "data")
        await Backends(BACKENDS, settings, health, stack, alone=True).open(Memberships)
        assert (await health.report()).checks == {"memberships": "ok"}
        mongo_server.kill()
        report = await health.report()
        assert not report.ready
        assert report.checks["memberships"] != "ok"
