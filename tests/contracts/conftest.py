"""The adapters that several contract suites run over, and the event loop of simulated ones."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from fanout.ports.bus import Bus
from fanout.ports.devices import Devices
from fanout.ports.followers import Followers
from fanout.ports.log import Log
from fanout.ports.memberships import Memberships
from fanout.ports.messages import Messages
from services.adapters.embedded.bus import EmbeddedBus
from services.adapters.embedded.log import EmbeddedLog
from services.adapters.mongo.memberships import MongoMemberships
from services.adapters.nats import NatsBus
from services.adapters.sqlite.database import Database
from services.adapters.sqlite.memberships import SqliteMemberships
from services.adapters.sqlite.messages import SqliteMessages
from tests.support.cassandra import opened_cassandra
from tests.support.clocks import Clock
from tests.support.faulty import FaultyBus, FaultyLog, FaultyMessages, faulty_memberships
from tests.support.nats import connected, open_log
from tests.support.reading import PATIENCE_S
from tests.support.servers import NatsServer
from tests.support.simulated_worlds import SIMULATED, SimulatedTier, is_simulated, simulation_loop
from tests.support.store_worlds import MessageStore

PARTITIONS = 4


@pytest.fixture
def _asyncio_loop_factory(request: pytest.FixtureRequest) -> Iterator[Callable[[], asyncio.AbstractEventLoop] | None]:
    """The fixture of pytest-asyncio by which it makes the event loop of a test."""
    if not is_simulated(request):
        yield None
        return
    with simulation_loop() as loop:
        yield lambda: loop


class MembershipStore(Memberships, Followers, Devices, Protocol):
    """A membership store."""


class _Opener(Protocol):
    def __call__(self, request: pytest.FixtureRequest) -> AbstractAsyncContextManager[Log]: ...


@asynccontextmanager
async def _embedded_log(request: pytest.FixtureRequest, adapter: type[EmbeddedLog] = EmbeddedLog) -> AsyncIterator[Log]:
    folder: Path = request.getfixturevalue("tmp_path")
    log = await adapter.open(folder / "log.db", partitions=PARTITIONS)
    try:
        yield log
    finally:
        await log.close()


@asynccontextmanager
async def _nats_log(request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    server: NatsServer = request.getfixturevalue("nats_server")
    async with connected(server.url) as nc:
        yield await open_log(nc, PARTITIONS)


@asynccontextmanager
async def _simulated_log(request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    async with SimulatedTier.opened(PARTITIONS) as tier:
        yield tier.log()


_LOGS: dict[str, _Opener] = {
    "embedded": _embedded_log,
    "faulty": partial(_embedded_log, adapter=FaultyLog),
    "nats": _nats_log,
    SIMULATED: _simulated_log,
}


@pytest.fixture(params=_LOGS)
async def log(request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    async with _LOGS[request.param](request) as opened:
        yield opened


@pytest.fixture
def clock() -> Clock:
    """The clock of `memberships`."""
    return Clock()


@pytest.fixture(params=["sqlite", "faulty", "mongo", SIMULATED])
async def memberships(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[MembershipStore]:
    """A membership store, with the followers of threads and the devices that it has."""
    if request.param == "faulty":
        async with faulty_memberships(clock) as faulty:
            yield faulty
        return
    if request.param == SIMULATED:
        async with SimulatedTier.opened() as tier:
            yield tier.linked(SqliteMemberships(tier.servers.memberships._database, clock))
        return
    opened: MongoMemberships | SqliteMemberships
    if request.param == "mongo":
        url = request.getfixturevalue("mongo_url")
        opened = await MongoMemberships.open(url, clock=clock, timeout_s=PATIENCE_S)
    else:
        opened = SqliteMemberships(await Database.open(tmp_path / "memberships.db", SqliteMemberships.schema), clock)
    yield opened
    await opened.close()


@pytest.fixture(params=[SqliteMessages, FaultyMessages, SIMULATED, "cassandra"])
async def messages(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MessageStore]:
    """A message store, with the receipts that it has."""
    if request.param == "cassandra":
        host, prefix = (request.getfixturevalue(name) for name in ("cassandra", "keyspace_prefix"))
        async with opened_cassandra(host, prefix) as cassandra:
            yield cassandra
        return
    if request.param == SIMULATED:
        async with SimulatedTier.opened() as tier:
            yield tier.ports()[Messages]
        return
    adapter: type[SqliteMessages] = request.param
    store = await adapter.open(tmp_path / "messages.db")
    yield store
    await store.close()


class BreakableBus(NamedTuple):
    """A bus, and what breaks its connection for a moment; it returns once there is another, or will be soon."""

    bus: Bus
    break_off: Callable[[], Awaitable[None]]


@pytest.fixture(params=["faulty", "nats", SIMULATED])
async def breakable(request: pytest.FixtureRequest) -> AsyncIterator[BreakableBus]:
    if request.param == "nats":
        server: NatsServer = request.getfixturevalue("nats_server")
        async with connected(server.url) as nc:
            yield BreakableBus(NatsBus(nc), partial(asyncio.to_thread, server.restart))
        return
    if request.param == SIMULATED:
        async with SimulatedTier.opened() as tier:
            yield BreakableBus(tier.bus(), partial(_cut_for_a_second, tier))
        return
    faulty = FaultyBus()
    yield BreakableBus(faulty, faulty.lose_one)
    await faulty.close()


async def _cut_for_a_second(tier: SimulatedTier) -> None:
    tier.servers.network.cut("nats")
    await asyncio.sleep(1.0)
    tier.servers.network.repair("nats")


@pytest.fixture(params=["embedded", "faulty", "nats", SIMULATED])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    if request.param == "nats":
        async with connected(request.getfixturevalue("nats_url")) as nc:
            yield NatsBus(nc)
        return
    if request.param == SIMULATED:
        async with SimulatedTier.opened() as tier:
            yield tier.bus()
        return
    embedded = FaultyBus() if request.param == "faulty" else EmbeddedBus()
    yield embedded
    await embedded.close()
