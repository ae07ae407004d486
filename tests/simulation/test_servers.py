import asyncio
from functools import partial

import msgspec
import pytest

from fanout.errors import StorageFull, Unavailable
from fanout.events import timestamp
from fanout.ports.authenticator import Authenticator
from fanout.ports.bus import Bus
from fanout.ports.log import Log
from fanout.ports.memberships import Memberships
from fanout.ports.messages import Messages
from fanout.ports.presence import Connections, Hints, Leases
from fanout.streams import MESSAGES
from tests.simulation.plan import SERVERS
from tests.simulation.servers import _REFUSED, TOKEN_S
from tests.simulation.world import World
from tests.support.simulated import SMALL, client_of, in_world
from tests.support.stored import stored_message


def test_a_process_has_every_port_over_links_of_its_own() -> None:
    async def work(world: World) -> None:
        await asyncio.sleep(0)
        before = len(world.servers.links)
        host, ports = client_of(world)
        assert set(ports) == {Log, Bus, Connections, Leases, Hints, Memberships, Messages, Authenticator}
        assert len(world.servers.links) == before + len(SERVERS)
        for name in SERVERS:
            assert [link.client for link in world.servers.links_of(name, "client")] == [host]
            assert len(world.servers.links_of(name)) == len(world.processes) + 1

    in_world(work)


def test_the_ports_reach_what_the_servers_hold() -> None:
    async def work(world: World) -> None:
        host, ports = client_of(world)
        assert await host.start(ports[Memberships].channels_of("ann"), "asking") == ["room1"]
        append = ports[Log].append("messages.send.room1", stored_message("room1"), msg_id="msg_1")
        appended = await host.start(append, "appending")
        (event,) = await world.servers.asked("nats", partial(world.servers.log.held, MESSAGES))
        assert event.seq == appended.seq
        identity = await host.start(ports[Authenticator].verify("ann"), "verifying")
        assert identity.user_id == "ann"
        assert identity.expires_at == pytest.approx(host.machine.wall_ns() / 1e9 + TOKEN_S, abs=1.0)

    in_world(work)


def test_what_the_log_stores_is_noted_by_the_name_of_the_message() -> None:
    async def work(world: World) -> None:
        body = {"channel": "room1", "text": "hello", "client_msg_id": "m1"}
        answer = await world.call("ann", "POST", "chat.sendMessage", body)
        assert answer is not None
        assert answer.status == 202
        await world.call("eve", "POST", "channels.join", {"channel": "room1"})
        await asyncio.sleep(2.0)
        message, change = (entry.about for entry in world.history.of("stored"))
        assert (message["stream"], message["key"], message["subject"]) == ("MESSAGES", "m1", "messages.send.room1")
        assert (change["stream"], change["key"][:4]) == ("META", "evt_")

    in_world(work)


def test_a_server_that_is_full_refuses_writes_and_answers_reads() -> None:
    async def work(world: World) -> None:
        host, ports = client_of(world)
        append = partial(ports[Log].append, "messages.send.room1", stored_message("room1"), msg_id="msg_1")
        lease, leases = partial(ports[Leases].lease, "instance9", "", 1.0), ports[Leases].leases
        world.servers.full.update(SERVERS)
        with pytest.raises(StorageFull):
            await host.start(append(), "appending")
        with pytest.raises(Unavailable):
            await host.start(lease(), "leasing")
        with pytest.raises(StorageFull):
            await host.start(ports[Memberships].add("room1", ["eve"], timestamp()), "adding")
        assert await host.start(ports[Log].last_seq(MESSAGES), "asking") == 0
        assert await host.start(leases(), "asking")
        assert await host.start(ports[Memberships].channels_of("eve"), "asking") == []
        world.servers.full.clear()
        await host.start(append(), "appending")

    in_world(work)


@pytest.mark.parametrize("server", SERVERS)
def test_the_methods_that_a_full_server_refuses_exist(server: str) -> None:
    async def work(world: World) -> set[str]:
        await asyncio.sleep(0)
        servers = world.servers
        ports: dict[str, list[object]] = {
            "nats": [servers.log],
            "redis": [servers.presence],
            "stores": [servers.memberships, servers.messages],
        }
        return {name for name in _REFUSED[server][0] if not any(hasattr(port, name) for port in ports[server])}

    assert in_world(work) == set()


def test_the_connections_of_a_process_that_has_gone_break() -> None:
    async def work(world: World) -> None:
        host, ports = client_of(world)
        waiting = host.start(ports[Log].tail(MESSAGES, after=0), "opening")
        world.servers.disconnect(host)
        assert not any(link.client is host for link in world.servers.links)
        with pytest.raises(Unavailable):
            await waiting
        with pytest.raises(Unavailable):
            await host.start(ports[Memberships].channels_of("ann"), "asking")

    in_world(work)


def is_cut(world: World, client: str) -> bool:
    (link,) = world.servers.links_of("nats", client)
    return link.is_cut


def test_a_process_that_starts_during_an_outage_of_a_server_is_connected_after_it() -> None:
    async def work(world: World) -> None:
        world.servers.cut_off("nats")
        client_of(world, "client")
        world.servers.cut_off("nats")
        client_of(world, "later")
        world.servers.reconnect("nats")
        await asyncio.sleep(1.0)
        assert [is_cut(world, name) for name in ("worker1", "client", "later")] == [True] * 3
        world.servers.reconnect("nats")
        client_of(world, "last")
        await asyncio.sleep(1.0)
        assert [is_cut(world, name) for name in ("worker1", "client", "later", "last")] == [False] * 4

    in_world(work)


def test_a_process_that_starts_while_a_server_is_down_is_connected_when_it_is_up() -> None:
    async def work(world: World) -> None:
        assert world.servers.down("nats")
        client_of(world)
        await asyncio.sleep(1.0)
        assert is_cut(world, "client")
        assert not world.servers.down("nats")
        world.servers.up("nats")
        await asyncio.sleep(1.0)
        assert not is_cut(world, "client")

    in_world(work)


def test_the_connections_that_the_plan_says_are_slow_whenever_they_are_made() -> None:
    async def work(world: World) -> None:
        def slow() -> dict[str, float]:
            return {f"{link.client.name} {link.server.name}": link.slowness for link in world.servers.links}

        expected = dict.fromkeys(slow(), 0.0) | {"worker1 redis": 0.4}
        assert slow() == expected
        world.processes["worker1"].kill()
        world.processes["worker1"].start()
        await asyncio.sleep(3.0)
        assert slow() == expected
        client, ports = client_of(world, "worker1")
        before = world.loop.time()
        await client.start(ports[Leases].leases(), "asking")
        assert 0.8 < world.loop.time() - before < 1.0

    in_world(work, msgspec.structs.replace(SMALL, slow={"worker1 redis": 0.4}))


def test_redis_loses_every_key() -> None:
    async def work(world: World) -> None:
        host, ports = client_of(world)
        assert await host.start(ports[Leases].leases(), "asking")
        world.servers.empty_redis()
        assert not await host.start(ports[Leases].leases(), "asking")

    in_world(work)


def test_memberships_work_by_the_clock_of_the_process() -> None:
    async def work(world: World) -> None:
        ahead, ports = client_of(world)
        ahead.machine.skew_s = 50.0
        late, others = client_of(world, "late")
        (first,) = await ahead.start(ports[Memberships].add("room1", ["eve"], timestamp()), "adding")
        (second,) = await late.start(others[Memberships].add("room1", ["zoe"], timestamp()), "adding")
        assert first.version > second.version

    in_world(work)


def test_the_log_counts_time_by_its_own_clock() -> None:
    async def work(world: World) -> None:
        host, ports = client_of(world)
        ahead = []
        for skew_s in (0.0, 40.0, -3.0):
            world.servers.hosts["nats"].machine.skew_s = skew_s
            append = ports[Log].append("messages.send.room1", stored_message("room1"), msg_id=f"msg_{skew_s}")
            appended = await host.start(append, "appending")
            event = await host.start(ports[Log].get(MESSAGES, appended.seq), "getting")
            ahead.append((event.stored_ns - host.machine.wall_ns()) / 1e9)
        assert ahead == [pytest.approx(skew_s, abs=0.01) for skew_s in (0.0, 40.0, -3.0)]

    in_world(work)


def test_nats_alone_forgets_its_newest_acknowledgements_when_it_is_killed() -> None:
    async def work(world: World) -> None:
        await asyncio.sleep(0)
        crashed: list[bool] = []
        host = world.servers.hosts["nats"]
        world.servers.log.crash = lambda: crashed.append(host.paused)  # type: ignore[method-assign]
        for server in SERVERS:
            assert world.servers.down(server)
            world.servers.up(server)
        assert crashed == [True]

    in_world(work)


def test_a_change_of_memberships_has_the_time_of_the_process_that_makes_it() -> None:
    async def work(world: World) -> None:
        versions = []
        for skew_s in (0.0, 100.0):
            host, ports = client_of(world, f"client{skew_s:g}")
            host.machine.skew_s = skew_s
            versions.append(host.start(ports[Memberships].add("room1", [f"eve{skew_s:g}"], timestamp()), "adding"))
        # Both are in one transaction, which one thread does.
        (first,), (second,) = await asyncio.gather(*versions)
        assert (second.version - first.version) / 1e6 == pytest.approx(100.0, abs=1.0)

    in_world(work)
