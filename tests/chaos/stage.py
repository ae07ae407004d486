"""The system under a storm: servers, services and clients, each a process of its own."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from fanout.events import timestamp
from fanout.ids import new_device_id
from fanout.ports.memberships import Channel
from services.adapters.sqlite.memberships import SqliteMemberships
from services.composition.data_files import MEMBERSHIPS_FILE
from tests.chaos.programs import Program
from tests.chaos.scenario import Layout, Scenario, counted
from tests.support.cluster import Cluster, Service, token
from tests.support.observing import metric
from tests.support.servers import NatsServer, RedisServer

CLIENT_PROCESSES = 2
CREATE_AT_ONCE = 500
OPEN_WITHIN_S = 300.0
LONGER_THAN_A_STORM_S = 86_400.0


class Stage:
    """All that runs; made by `set_up`."""

    def __init__(self, scenario: Scenario, folder: Path, nats: NatsServer, redis: RedisServer) -> None:
        self.layout = Layout.of(scenario)
        self.nats = nats
        self.cluster = Cluster(folder, NATS_URL=nats.url, REDIS_URL=redis.url)
        self.instances: list[Service] = []
        self.clients: list[Program] = []
        self.proxy: Program | None = None
        self.accepted = folder / "accepted"
        self.journals = folder / "received"
        self._scenario = scenario
        self._folder = folder
        self._instance_urls: list[str] = []
        self._workers = 0
        self._killed: set[str] = set()
        self._ready: set[str] = set()

    def workers(self) -> list[Service]:
        """Those that live."""
        return [worker for worker in self.cluster.all("fanout") if worker.running]

    async def add_worker(self) -> None:
        """Start one more, and return when it says that it is ready."""
        self._workers += 1
        name = f"fanout-{self._workers}"
        await self.cluster.start(name, "serve", "fanout")
        self._ready.add(name)

    async def kill_worker(self, worker: Service) -> None:
        """End one as a crash would."""
        self._killed.add(worker.name)
        await worker.kill()

    def ended(self) -> list[str]:
        """Services that ended though nobody killed them."""
        services = self.cluster.services.items()
        return [name for name, service in services if service.ended and name not in self._killed]

    @property
    def received(self) -> int:
        """Receipts of all clients."""
        return sum(program.told["received"] for program in self.clients)

    @property
    def dropped(self) -> int:
        """Messages to instances that the proxy lost."""
        return int(self.proxy.told.get("dropped", 0)) if self.proxy else 0

    @property
    def closed(self) -> dict[str, str]:
        """The clients whose connections were closed, and why: none may be."""
        return {name: why for program in self.clients for name, why in program.told["closed"].items()}

    async def instances_count(self, name: str) -> int:
        """The sum of a figure over all instances."""
        return int(sum([await metric(url, name) for url in self._instance_urls]))

    async def create_channels(self) -> None:
        """Fill the store of memberships, before anybody reads it."""
        self.cluster.data.mkdir(mode=0o700, parents=True)
        store = await SqliteMemberships.open(self.cluster.data / MEMBERSHIPS_FILE)
        try:
            members = list(self.layout.members().items())
            for start in range(0, len(members), CREATE_AT_ONCE):
                some = members[start : start + CREATE_AT_ONCE]
                await asyncio.gather(*(store.create(_channel(name), users, published=True) for name, users in some))
        finally:
            await store.close()

    async def start_services(self, enter: Callable[[Program], None]) -> None:
        """Start the workers first, so that the instances find them."""
        behind: dict[str, str] = {}
        if self._scenario.drop:
            self.proxy = await Program.start(
                "lossy_proxy",
                str(self.nats.port),
                *("--drop", str(self._scenario.drop)),
                *("--seed", str(self._scenario.seed)),
            )
            enter(self.proxy)
            behind["NATS_URL"] = f"nats://127.0.0.1:{await self.proxy.tells('port', bool, OPEN_WITHIN_S)}"
        await asyncio.gather(*(self.add_worker() for _ in range(self._scenario.workers)))
        names = [f"notification-{number}" for number in range(1, self._scenario.instances + 1)]
        starting = (self.cluster.start(name, "serve", "notification", **behind) for name in names)
        self.instances = list(await asyncio.gather(*starting))
        self._instance_urls = [instance.url for instance in self.instances]

    async def open_clients(self, enter: Callable[[Program], None]) -> None:
        """Connect every client, and return when all are admitted."""
        self.journals.mkdir()
        plans = self._client_plans()
        for number in range(CLIENT_PROCESSES):
            mine = plans[number::CLIENT_PROCESSES]
            path = self._folder / f"clients-{number}.json"
            path.write_text(json.dumps(mine))
            program = await Program.start("clients", str(path), str(self.journals))
            enter(program)
            self.clients.append(program)
            await program.tells("admitted", len(mine).__eq__, OPEN_WITHIN_S)

    def _client_plans(self) -> list[dict[str, object]]:
        urls = [instance.ws_url for instance in self.instances]
        return [
            {
                "name": f"client-{number}",
                "url": urls[number % len(urls)],
                "auth": {
                    "type": "auth",
                    "token": token(user, ttl=LONGER_THAN_A_STORM_S),
                    "device_id": new_device_id(),
                },
                "channels": self.layout.channels_of[user],
            }
            for number, user in enumerate(self.layout.users)
        ]


@asynccontextmanager
async def set_up(scenario: Scenario, folder: Path, say: Callable[[str], None]) -> AsyncIterator[Stage]:
    """Run everything for the length of the context; leaving it ends every process, whatever happened."""
    async with AsyncExitStack() as stack:
        nats, redis = NatsServer(folder / "nats"), RedisServer(folder / "redis")
        for server in (nats, redis):
            stack.push_async_callback(asyncio.to_thread, server.close)
            await asyncio.to_thread(server.start)
        stage = Stage(scenario, folder, nats, redis)
        stack.push_async_callback(stage.cluster.kill)
        say(f"creates {counted(scenario.channels, 'channel')}")
        await stage.create_channels()
        say(f"starts {counted(scenario.workers, 'worker')} and {counted(scenario.instances, 'instance')}")
        await stage.start_services(lambda program: _end_with(stack, program))
        say(f"connects {counted(scenario.clients, 'client')}")
        await stage.open_clients(lambda program: _end_with(stack, program))
        yield stage


def _end_with(stack: AsyncExitStack, program: Program) -> None:
    stack.push_async_callback(program.end)


def _channel(name: str) -> Channel:
    return Channel(name, name, private=False, created_by="somebody", created_at=timestamp())
