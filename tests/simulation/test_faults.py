import asyncio
from collections.abc import Callable

import msgspec
import pytest

from tests.simulation.drawing import _KINDS
from tests.simulation.faults import Striker
from tests.simulation.links import SILENCE_S
from tests.simulation.network import RECONNECTS_IN, SLOWNESS_S
from tests.simulation.plan import SERVERS, Fault
from tests.simulation.world import World
from tests.support.simulated import SMALL, TWO_WORKERS, in_world

BRIEF_S, LONG_S = 1.0, SILENCE_S + 2.0


def link_of(world: World, server: str) -> tuple[bool, bool, float]:
    """Whether the link of the worker to a server is cut, whether it is silent, and how much slower it is."""
    (link,) = world.servers.network.links_of(server, "worker1")
    return link.is_cut, link.is_silent, link.slowness


def links_of(world: World) -> set[tuple[bool, bool, float]]:
    """The same of its links to every server."""
    return {link_of(world, server) for server in SERVERS}


UNTOUCHED = False, False, 0.0


def is_untouched(world: World) -> bool:
    servers = world.servers
    is_paused = any(host.paused for host in [*servers.hosts.values(), *world.hosts])
    return links_of(world) == {UNTOUCHED} and not servers.full.total() and not is_paused


STRIKES: list[tuple[Fault, float, Callable[[World], bool]]] = [
    (Fault(0.0, "kill", "worker1"), 0.5, lambda world: not world.processes["worker1"].is_running),
    (Fault(0.0, "kill without files", "worker1"), 0.5, lambda world: not world.processes["worker1"].is_running),
    (Fault(0.0, "stop", "worker1", seconds=9.0), 8.0, lambda world: not world.processes["worker1"].is_running),
    (
        Fault(0.0, "deploy", "", seconds=9.0),
        8.0,
        lambda world: not any(process.is_running for process in world.processes.values()),
    ),
    (Fault(0.0, "pause", "worker1"), 0.5, lambda world: world.processes["worker1"].host.paused),
    (Fault(0.0, "cut", "worker1", "nats"), 0.5, lambda world: link_of(world, "nats") == (True, True, 0.0)),
    (Fault(0.0, "stall", "worker1", "nats"), 0.5, lambda world: link_of(world, "nats") == (False, True, 0.0)),
    (
        Fault(0.0, "stall", "worker1", "nats", LONG_S),
        SILENCE_S + 1.0,
        lambda world: link_of(world, "nats") == (True, True, 0.0),
    ),
    (Fault(0.0, "slow", "worker1", "nats"), 0.5, lambda world: link_of(world, "nats") == (False, False, SLOWNESS_S)),
    (Fault(0.0, "isolate", "worker1"), 0.5, lambda world: links_of(world) == {(True, True, 0.0)}),
    (Fault(0.0, "isolate silently", "worker1"), 0.5, lambda world: links_of(world) == {(False, True, 0.0)}),
    (
        Fault(0.0, "isolate silently", "worker1", seconds=LONG_S),
        SILENCE_S + 1.0,
        lambda world: links_of(world) == {(True, True, 0.0)},
    ),
    (Fault(0.0, "away", "nats"), 0.5, lambda world: world.servers.hosts["nats"].paused and link_of(world, "nats")[0]),
    (
        Fault(0.0, "stand still", "nats"),
        0.5,
        lambda world: world.servers.hosts["nats"].paused and not link_of(world, "nats")[0],
    ),
    (
        Fault(0.0, "stand still", "nats", seconds=LONG_S),
        SILENCE_S + 1.0,
        lambda world: world.servers.hosts["nats"].paused and link_of(world, "nats")[0],
    ),
    (Fault(0.0, "empty", "redis"), 0.5, lambda world: link_of(world, "redis")[0]),
    (Fault(0.0, "refuse", "stores"), 0.5, lambda world: world.servers.full == {"stores": 1}),
    (Fault(0.0, "lose newest", "nats", "META", amount=2), 0.5, lambda world: link_of(world, "nats")[0]),
    (Fault(0.0, "another", "nats", "META"), 0.5, lambda world: link_of(world, "nats")[0]),
    (Fault(0.0, "clock jumps", "worker1", amount=2), 0.5, lambda world: world.processes["worker1"].skew_s == 2.0),
    (
        Fault(0.0, "clock jumps", "nats", amount=-3),
        0.5,
        lambda world: world.servers.hosts["nats"].machine.skew_s == -3.0,
    ),
]


def test_each_kind_of_fault_can_strike_and_is_tried_here() -> None:
    def kinds(world: World) -> set[str]:
        return set(Striker(world)._faults)

    async def work(world: World) -> set[str]:
        await asyncio.sleep(0)
        return kinds(world)

    assert in_world(work) == set(_KINDS) == {fault.what for fault, _, _ in STRIKES} | {"remove"}  # which has no end


@pytest.mark.parametrize(
    ("fault", "after", "is_struck"),
    STRIKES,
    ids=[f"{fault.what} {fault.on} {fault.seconds:g}s" for fault, _, _ in STRIKES],
)
def test_a_fault_strikes_what_it_is_to_and_leaves_nothing_behind(
    fault: Fault, after: float, is_struck: Callable[[World], bool]
) -> None:
    async def work(world: World) -> None:
        assert is_untouched(world)
        assert not is_struck(world)
        striking = asyncio.ensure_future(Striker(world).strike(fault))
        await asyncio.sleep(after)
        assert is_struck(world)
        assert not striking.done()
        await striking
        assert world.loop.time() == pytest.approx(3.0 + fault.seconds, abs=0.05)
        await asyncio.sleep(5.0)
        assert world.processes["worker1"].is_running
        assert not is_struck(world)
        assert is_untouched(world)
        noted = [(entry.what, entry.about["fault"]) for entry in world.history.of("fault", "fault ended")]
        assert noted == [("fault", fault.what), ("fault ended", fault.what)]

    in_world(work)


def test_only_the_link_that_is_struck_is_cut() -> None:
    async def work(world: World) -> None:
        striking = asyncio.ensure_future(Striker(world).strike(Fault(0.0, "cut", "worker1", "nats")))
        await asyncio.sleep(0.5)
        cut = [(link.client.name, link.server.name) for link in world.servers.network.links if link.is_cut]
        assert cut == [("worker1", "nats")]
        await striking

    in_world(work)


def faults_on_dead(world: World) -> list[Fault]:
    """Faults that find nothing to strike."""
    world.processes["worker1"].kill()
    kinds = ("kill", "kill without files", "stop", "pause")
    return [Fault(0.0, kind, "worker1", seconds=9.0) for kind in kinds]


def faults_on_paused(world: World) -> list[Fault]:
    world.loop.pause(world.processes["worker1"].host)
    return [Fault(0.0, "pause", "worker1", seconds=9.0)]


def faults_on_down(world: World) -> list[Fault]:
    world.servers.down("redis")
    return [Fault(0.0, kind, "redis", seconds=9.0) for kind in ("away", "empty", "stand still")]


def faults_on_all_dead(world: World) -> list[Fault]:
    for process in world.processes.values():
        process.kill()
    return [Fault(0.0, "deploy", "", seconds=9.0)]


def faults_on_last(_world: World) -> list[Fault]:
    return [Fault(0.0, "remove", "worker1", seconds=9.0), Fault(0.0, "cut", "worker9", "nats", seconds=9.0)]


@pytest.mark.parametrize(
    "prepare", [faults_on_dead, faults_on_paused, faults_on_down, faults_on_all_dead, faults_on_last]
)
def test_a_fault_that_finds_nothing_to_strike_does_nothing_and_is_not_noted(
    prepare: Callable[[World], list[Fault]],
) -> None:
    async def work(world: World) -> None:
        for fault in prepare(world):
            await Striker(world).strike(fault)
        assert world.loop.time() < 3.1
        assert world.history.of("fault", "fault ended") == []

    in_world(work)


@pytest.mark.parametrize("kind", ["cut", "stall", "slow", "isolate", "isolate silently"])
def test_a_process_that_is_started_again_is_struck_until_the_fault_has_ended(kind: str) -> None:
    async def work(world: World) -> None:
        to = "" if kind.startswith("isolate") else "nats"
        striking = asyncio.ensure_future(Striker(world).strike(Fault(0.0, kind, "worker1", to, LONG_S)))
        await asyncio.sleep(0.1)
        before = links_of(world)
        await Striker(world).strike(Fault(0.0, "kill", "worker1", seconds=0.5))
        await asyncio.sleep(0.1)
        assert links_of(world) == before != {UNTOUCHED}
        await striking
        await asyncio.sleep(5.0)
        assert world.processes["worker1"].is_running
        assert links_of(world) == {UNTOUCHED}

    in_world(work)


def test_a_server_that_two_faults_fill_is_full_until_the_later_one_ends() -> None:
    async def work(world: World) -> None:
        striker = Striker(world)
        striking = [asyncio.ensure_future(striker.strike(Fault(0.0, "refuse", "redis", "", s))) for s in (1.0, 3.0)]
        await asyncio.sleep(2.0)
        assert world.servers.full["redis"]
        await asyncio.gather(*striking)
        assert not world.servers.full["redis"]

    in_world(work)


def test_two_faults_of_one_server_at_a_time_leave_nothing_behind() -> None:
    async def work(world: World) -> None:
        striker = Striker(world)
        faults = [
            Fault(0.0, "away", "nats", seconds=2.0),
            Fault(0.0, "lose newest", "nats", "META", 1.0, 1),
            Fault(0.0, "stall", "worker1", "nats", LONG_S),
            Fault(0.0, "slow", "worker1", "nats", 1.5),
            Fault(0.0, "cut", "worker1", "nats", 3.0),
            Fault(0.0, "stand still", "nats", seconds=1.0),
        ]
        await asyncio.gather(*map(striker.strike, faults))
        await asyncio.sleep(RECONNECTS_IN["nats"][1])
        assert is_untouched(world)

    in_world(work)


def test_a_clock_that_jumps_stays_so_when_its_process_is_started_again() -> None:
    async def work(world: World) -> None:
        process = world.processes["worker1"]
        striking = asyncio.ensure_future(Striker(world).strike(Fault(0.0, "clock jumps", "worker1", "", 6.0, -3)))
        await asyncio.sleep(1.0)
        assert world.outside.machine.wall_ns() - process.host.machine.wall_ns() == pytest.approx(3e9)
        process.kill()
        process.start()
        await asyncio.sleep(1.0)
        assert world.outside.machine.wall_ns() - process.host.machine.wall_ns() == pytest.approx(3e9)
        await striking
        assert world.outside.machine.wall_ns() == process.host.machine.wall_ns()

    in_world(work)


def test_a_process_that_is_removed_is_struck_no_more_and_never_starts_again() -> None:
    async def work(world: World) -> None:
        striker, worker = Striker(world), world.processes["worker1"]
        others = [Fault(0.0, "kill", "worker1"), Fault(0.0, "clock jumps", "worker1", amount=2)]
        striking = [asyncio.ensure_future(striker.strike(fault)) for fault in others]
        await asyncio.sleep(0.5)
        await striker.strike(Fault(0.0, "remove", "worker1", seconds=9.0))
        await asyncio.gather(*striking)
        await striker.strike(Fault(0.0, "stop", "worker1"))
        await asyncio.sleep(5.0)
        assert "worker1" not in world.processes
        assert not worker.is_running
        assert world.processes["worker2"].is_running
        struck = [entry.about["fault"] for entry in world.history.of("fault")]
        assert struck == ["kill", "clock jumps", "remove"]
        assert len(world.history.of("fault ended")) == len(struck)

    in_world(work, TWO_WORKERS)


def test_what_the_log_has_lost_is_noted() -> None:
    async def work(world: World) -> None:
        for _ in range(3):
            await world.call("ann", "POST", "chat.sendMessage", {"channel": "room1", "text": "hello"})
        await Striker(world).strike(Fault(0.0, "lose newest", "nats", "MESSAGES", 1.0, 2))
        assert [entry.about for entry in world.history.of("lost")] == [{"stream": "MESSAGES", "events": 2}]
        assert len(await world.servers.asked("nats", lambda: world.servers.log.held("MESSAGES"))) == 1

    in_world(work)


def test_nats_comes_back_with_an_empty_stream_in_the_place_of_one() -> None:
    async def work(world: World) -> None:
        for _ in range(3):
            await world.call("ann", "POST", "chat.sendMessage", {"channel": "room1", "text": "hello"})
        await world.call("eve", "POST", "channels.join", {"channel": "room1"})
        await Striker(world).strike(Fault(0.0, "another", "nats", "MESSAGES", 1.0))
        assert [entry.about for entry in world.history.of("lost")] == [{"stream": "MESSAGES", "events": 3}]
        assert await world.servers.asked("nats", lambda: world.servers.log.held("MESSAGES")) == []
        assert len(await world.servers.asked("nats", lambda: world.servers.log.held("META"))) == 1

    in_world(work)


@pytest.mark.parametrize("kind", ["lose newest", "another"])
def test_a_writer_that_starts_while_nats_is_away_writes_what_is_stored_after_the_loss(kind: str) -> None:
    async def work(world: World) -> None:
        body = {"channel": "room1", "text": "hello"}
        await world.call("ann", "POST", "chat.sendMessage", body)
        striking = asyncio.ensure_future(Striker(world).strike(Fault(0.0, kind, "nats", "MESSAGES", 3.0, 1)))
        await asyncio.sleep(1.0)
        world.processes["writer1"].kill()
        world.processes["writer1"].start()
        await striking
        await asyncio.sleep(1.0)
        answer = await world.call("ann", "POST", "chat.sendMessage", body)
        assert answer is not None
        assert answer.status == 202
        await asyncio.sleep(5.0)
        assert await world.servers.asked("nats", world.servers.log.lag) == 0

    in_world(work)


@pytest.mark.parametrize(("kind", "has_snapshot"), [("kill", True), ("kill without files", False)])
def test_a_worker_that_is_killed_has_its_snapshot_unless_it_comes_back_without_files(
    kind: str, *, has_snapshot: bool
) -> None:
    async def work(world: World) -> None:
        snapshot = world.processes["worker1"]._settings.data_dir / "table.snapshot"
        await asyncio.sleep(6.0)
        assert snapshot.exists()
        striking = asyncio.ensure_future(Striker(world).strike(Fault(0.0, kind, "worker1")))
        await asyncio.sleep(0.5)
        assert snapshot.exists() == has_snapshot
        await striking
        await asyncio.sleep(1.0)
        assert world.processes["worker1"].is_running

    in_world(work, msgspec.structs.replace(SMALL, shape=msgspec.structs.replace(SMALL.shape, snapshots=True)))


@pytest.mark.parametrize("server", ["nats", "stores"])
def test_the_clock_of_a_server_jumps_and_jumps_back(server: str) -> None:
    async def work(world: World) -> None:
        def ahead() -> dict[str, float]:
            right = world.outside.machine.wall_ns()
            return {name: (host.machine.wall_ns() - right) / 1e9 for name, host in world.servers.hosts.items()}

        right = dict.fromkeys(world.servers.hosts, 0.0)
        striking = asyncio.ensure_future(Striker(world).strike(Fault(0.0, "clock jumps", server, "", 2.0, 40)))
        await asyncio.sleep(1.0)
        assert ahead() == right | {server: 40.0}
        assert {process.skew_s for process in world.processes.values()} == {0.0}
        await striking
        assert ahead() == right

    in_world(work)


def test_redis_comes_back_empty() -> None:
    async def work(world: World) -> None:
        assert world.servers.presence._leases.live()
        striking = asyncio.ensure_future(Striker(world).strike(Fault(0.0, "empty", "redis")))
        await asyncio.sleep(0.5)
        assert world.servers.presence._leases.live()
        await striking
        assert not world.servers.presence._leases.live()

    in_world(work)
