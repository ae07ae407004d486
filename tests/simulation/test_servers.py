import asyncio
from functools import partial

import pytest

from fanout.errors import OutcomeUnknown, StorageFull, Unavailable
from fanout.events import timestamp
from fanout.keys import LEASE_TTL_S
from fanout.ports.authenticator import Authenticator
from fanout.ports.bus import Bus
from fanout.ports.changes import Changes
from fanout.ports.client_state import ClientState
from fanout.ports.devices import Devices
from fanout.ports.drafts import Drafts
from fanout.ports.followers import Followers
from fanout.ports.log import Log
from fanout.ports.memberships import Memberships
from fanout.ports.messages import Messages
from fanout.ports.presence import Aggregates, Connections, Lease, Leases
from fanout.ports.receipts import Receipts
from fanout.ports.unread import ReadPosition, UnreadCounts
from fanout.streams import MESSAGES
from tests.simulation.plan import SERVERS
from tests.simulation.servers import _REFUSED, TOKEN_S
from tests.simulation.world import World
from tests.support.simulated import client_of, in_world
from tests.support.stored import stored_message

LEASE = Lease("instance9", "1", "ws://instance9:8081", "2030-01-01T00:00:00.000Z", 0, 10)


def test_a_process_has_every_port_over_links_of_its_own() -> None:
    async def work(world: World) -> None:
        await asyncio.sleep(0)
        before = len(world.servers.network.links)
        host, ports = client_of(world)
        kinds = {
            Log,
            Bus,
            Connections,
            Leases,
            Aggregates,
            Memberships,
            Followers,
            Messages,
            Receipts,
            UnreadCounts,
            Drafts,
            Changes,
            ClientState,
        }
        kinds |= {Authenticator, Devices}
        assert set(ports) == kinds
        assert len(world.servers.network.links) == before + len(SERVERS)
        for name in SERVERS:
            assert [link.client for link in world.servers.network.links_of(name, "client")] == [host]
            assert len(world.servers.network.links_of(name)) == len(world.processes) + 1

    in_world(work)


def test_the_ports_reach_what_the_servers_hold() -> None:
    async def work(world: World) -> None:
        host, ports = client_of(world)
        assert await host.start(ports[Memberships].packed_channels_of("ann"), "asking") == b"room1"
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
        lease, leases = partial(ports[Leases].lease, LEASE), ports[Leases].leases
        world.servers.full.update(SERVERS)
        with pytest.raises(StorageFull):
            await host.start(append(), "appending")
        with pytest.raises(Unavailable):
            await host.start(lease(), "leasing")
        with pytest.raises(StorageFull):
            await host.start(ports[Memberships].add("room1", ["eve"], timestamp()), "adding")
        mark = partial(ports[UnreadCounts].mark_read, "ann", "room1", ReadPosition(1, 1))
        with pytest.raises(Unavailable):
            await host.start(mark(), "marking")
        assert await host.start(ports[UnreadCounts].unread("ann", ["room1"]), "asking") == {}
        assert await host.start(ports[Log].last_seq(MESSAGES), "asking") == 0
        assert await host.start(leases(), "asking")
        assert await host.start(ports[Memberships].packed_channels_of("eve"), "asking") == b""
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
            "redis": [servers.presence, servers.unread],
            "stores": [servers.memberships, servers.messages],
        }
        return {name for name in _REFUSED[server][0] if not any(hasattr(port, name) for port in ports[server])}

    assert in_world(work) == set()


def test_a_process_that_starts_while_a_server_is_down_is_connected_when_it_is_up() -> None:
    async def work(world: World) -> None:
        world.servers.down("nats")
        host, _ = client_of(world)
        (link,) = [link for link in world.servers.network.links_of("nats") if link.client is host]
        await asyncio.sleep(1.0)
        assert link.is_cut
        world.servers.up("nats")
        await asyncio.sleep(1.0)
        assert not link.is_cut

    in_world(work)


def test_a_process_that_starts_while_a_server_stands_still_is_answered_when_it_goes_on() -> None:
    async def work(world: World) -> None:
        world.loop.pause(world.servers.hosts["nats"])
        host, ports = client_of(world)
        with pytest.raises(OutcomeUnknown):
            await host.start(ports[Log].last_seq(MESSAGES), "asking")
        world.loop.resume(world.servers.hosts["nats"])
        assert await host.start(ports[Log].last_seq(MESSAGES), "asking") == 0

    in_world(work)


def test_a_server_is_full_until_everything_that_fills_it_has_ended() -> None:
    async def work(world: World) -> None:
        host, ports = client_of(world)
        lease = partial(ports[Leases].lease, LEASE)
        world.servers.full["redis"] += 2
        for _ in range(2):
            with pytest.raises(Unavailable):
                await host.start(lease(), "leasing")
            world.servers.full["redis"] -= 1
        await host.start(lease(), "leasing")

    in_world(work)


@pytest.mark.parametrize("skew_s", [-3.0, 40.0])
def test_a_lease_lasts_by_a_clock_of_redis_that_does_not_jump(skew_s: float) -> None:
    async def work(world: World) -> None:
        host, ports = client_of(world)
        await host.start(ports[Leases].lease(LEASE), "leasing")
        for server in SERVERS:
            world.servers.hosts[server].machine.skew_s = skew_s
        await asyncio.sleep(LEASE_TTL_S - 0.5)
        assert "instance9" in await host.start(ports[Leases].leases(), "asking")
        await asyncio.sleep(1.0)
        assert "instance9" not in await host.start(ports[Leases].leases(), "asking")

    in_world(work)


def test_each_server_has_a_clock_of_its_own() -> None:
    async def work(world: World) -> None:
        await asyncio.sleep(0)
        hosts = world.servers.hosts
        assert len({id(host.machine) for host in hosts.values()}) == len(SERVERS)
        assert world.servers.presence._clock == hosts["redis"].machine.monotonic_s

    in_world(work)


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
            world.servers.down(server)
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
