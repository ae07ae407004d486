import asyncio
from collections.abc import Callable

import msgspec
import pytest

from fanout.errors import OutcomeUnknown, Unavailable
from fanout.ports.log import Log
from fanout.ports.memberships import Memberships
from fanout.ports.presence import Leases
from fanout.streams import MESSAGES
from tests.simulation.network import SLOWNESS_S, Network
from tests.simulation.plan import SERVERS
from tests.simulation.world import World
from tests.support.simulated import SMALL, client_of, in_world

Strike = Callable[[Network, str, str], None]


def is_cut(world: World, client: str) -> bool:
    (link,) = world.servers.network.links_of("nats", client)
    return link.is_cut


def struck(world: World) -> list[str]:
    """The connections through which nothing passes, or slowly."""
    links = world.servers.network.links
    return [f"{link.client.name} {link.server.name}" for link in links if link.is_silent or link.slowness]


def test_the_connections_of_a_process_that_has_gone_break() -> None:
    async def work(world: World) -> None:
        host, ports = client_of(world)
        waiting = host.start(ports[Log].tail(MESSAGES, after=0), "opening")
        world.servers.network.disconnect(host)
        assert not any(link.client is host for link in world.servers.network.links)
        with pytest.raises(Unavailable):
            await waiting
        with pytest.raises(Unavailable):
            await host.start(ports[Memberships].packed_channels_of("ann"), "asking")

    in_world(work)


def test_a_process_that_starts_during_an_outage_of_a_server_is_connected_after_it() -> None:
    async def work(world: World) -> None:
        network = world.servers.network
        network.cut("nats")
        client_of(world, "client")
        network.cut("nats")
        client_of(world, "later")
        network.repair("nats")
        await asyncio.sleep(1.0)
        assert [is_cut(world, name) for name in ("worker1", "client", "later")] == [True] * 3
        network.repair("nats")
        client_of(world, "last")
        await asyncio.sleep(1.0)
        assert [is_cut(world, name) for name in ("worker1", "client", "later", "last")] == [False] * 4

    in_world(work)


@pytest.mark.parametrize(
    ("begin", "end"),
    [(Network.cut, Network.repair), (Network.stall, Network.flow), (Network.slow_down, Network.speed_up)],
)
@pytest.mark.parametrize("server", SERVERS)
def test_what_strikes_a_connection_of_a_process_strikes_it_when_it_is_started_again(
    begin: Strike, end: Strike, server: str
) -> None:
    async def work(world: World) -> None:
        network = world.servers.network
        begin(network, server, "worker1")
        for _ in range(2):
            world.processes["worker1"].kill()
            world.processes["worker1"].start()
            await asyncio.sleep(0.5)
            assert struck(world) == [f"worker1 {server}"]
        end(network, server, "worker1")
        await asyncio.sleep(5.0)
        assert struck(world) == []
        assert world.processes["worker1"].is_running

    in_world(work)


def test_a_process_that_starts_while_nothing_arrives_is_answered_when_it_does() -> None:
    async def work(world: World) -> None:
        world.servers.network.stall("nats", "client")
        host, ports = client_of(world)
        with pytest.raises(OutcomeUnknown):
            await host.start(ports[Log].last_seq(MESSAGES), "asking")
        world.servers.network.flow("nats", "client")
        assert await host.start(ports[Log].last_seq(MESSAGES), "asking") == 0

    in_world(work)


def test_the_connections_that_the_plan_says_are_slow_whenever_they_are_made() -> None:
    async def work(world: World) -> None:
        def slow() -> dict[str, float]:
            return {f"{link.client.name} {link.server.name}": link.slowness for link in world.servers.network.links}

        expected = dict.fromkeys(slow(), 0.0) | {"worker1 redis": 0.1}
        assert slow() == expected
        world.processes["worker1"].kill()
        world.processes["worker1"].start()
        await asyncio.sleep(3.0)
        assert slow() == expected
        world.servers.network.slow_down("redis", "worker1")
        assert slow() == expected | {"worker1 redis": 0.1 + SLOWNESS_S}
        client, ports = client_of(world, "worker1")
        before = world.loop.time()
        await client.start(ports[Leases].leases(), "asking")
        assert 1.0 < world.loop.time() - before < 1.2
        world.servers.network.speed_up("redis", "worker1")
        assert slow() == expected

    in_world(work, msgspec.structs.replace(SMALL, slow={"worker1 redis": 0.1}))
