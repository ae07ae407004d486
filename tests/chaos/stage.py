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
from tests.support.servers import NatsServer, RedisServer, free_port

CLIENT_PROCESSES = 2
CREATE_AT_ONCE = 500
OPEN_WITHIN_S = 300.0
LONGER_THAN_A_STORM_S = 86_400.0
HEARTBEAT_S = "5"
"""Seconds. Each answer is a promise that the checker checks."""


class Stage:
    """All that runs; made by `set_up`."""

    def __init__(self, scenario: Scenario, folder: Path, nats: NatsServer, redis: RedisServer) -> None:
        self.layout = Layout.of(scenario)
        self.nats = nats
        self.cluster = Cluster(folder, NATS_URL=nats.url, REDIS_URL=redis.url)
        self.instances: dict[str, Service] = {}
        """By id; one that was killed and started again is another process."""
        self.clients: list[Program] = []
        self.proxy: Program | None = None
        self.accepted = folder / "accepted"
        self.journals = folder / "received"
        self._scenario = scenario
        self._folder = folder
        self._ports = {f"notification-{number}": free_port() for number in range(1, scenario.instances + 1)}
        self._behind: dict[str, str] = {}
        """The settings of instances that are behind the proxy."""
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

    async def start_instance(self, name: str) -> None:
        """Start an instance, or start one again, at the address that the clients know."""
        process = f"{name}-{sum(each.startswith(f'{name}-') for each in self.cluster.services) + 1}"
        settings = {"INSTANCE_ID": name, "WS_LISTEN": f"127.0.0.1:{self._ports[name]}", "HEARTBEAT_S": HEARTBEAT_S}
        self.instances[name] = await self.cluster.start(process, "serve", "notification", **settings, **self._behind)

    async def kill_instance(self, name: str) -> None:
        """End one as a crash would."""
        self._killed.add(self.instances[name].name)
        await self.instances[name].kill()

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
        """The clients that have ended, and why: none may."""
        return {name: why for program in self.clients for name, why in program.told["closed"].items()}

    @property
    def missed(self) -> dict[str, list[str]]:
        """The clients that were told that they missed something: none may be."""
        return {name: what for program in self.clients for name, what in program.told["missed"].items()}

    @property
    def reconnects(self) -> int:
        """Times that a client lost its connection, or could not connect."""
        return sum(program.told["reconnects"] for program in self.clients)

    async def instances_count(self, name: str) -> int:
        """The sum of a figure over all instances, since each was started last."""
        return int(sum([await metric(instance.url, name) for instance in self.instances.values()]))

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
        if self._scenario.drop:
            self.proxy = await Program.start(
                "lossy_proxy",
                str(self.nats.port),
                *("--drop", str(self._scenario.drop)),
                *("--seed", str(self._scenario.seed)),
            )
            enter(self.proxy)
            self._behind["NATS_URL"] = f"nats://127.0.0.1:{await self.proxy.tells('port', bool, OPEN_WITHIN_S)}"
        await asyncio.gather(*(self.add_worker() for _ in range(self._scenario.workers)))
        await asyncio.gather(*map(self.start_instance, self._ports))

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
        urls = [instance.ws_url for instance in self.instances.values()]
        return [
            {
                "name": f"client-{number}",
                "urls": urls[number % len(urls) :] + urls[: number % len(urls)],
                "token": token(user, ttl=LONGER_THAN_A_STORM_S),
                "device_id": new_device_id("web"),
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
