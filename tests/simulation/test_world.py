import asyncio
from typing import Any

import msgspec
import pytest

from tests.simulation.world import ANSWER_WITHIN_S, World
from tests.support.simulated import SMALL, TWO_WORKERS, in_world


def test_the_first_channels_and_their_members_are_there() -> None:
    async def work(world: World) -> None:
        memberships = world.servers.memberships
        assert await world.servers.asked("stores", lambda: memberships.members_of("room1")) == ["ann", "bob"]
        assert await world.servers.asked("stores", memberships.count_unpublished) == 0

    in_world(work)


def test_the_clocks_of_processes_differ_as_the_plan_says() -> None:
    async def work(world: World) -> list[float]:
        await asyncio.sleep(0)
        return [process.skew_s for process in world.processes.values()]

    assert set(in_world(work)) == {0.0}
    skewed = in_world(work, msgspec.structs.replace(SMALL, shape=msgspec.structs.replace(SMALL.shape, skew_s=2.0)))
    assert len(set(skewed)) == len(skewed)
    assert all(-1.0 <= skew <= 1.0 for skew in skewed)


def test_all_but_the_last_process_of_a_kind_can_be_removed() -> None:
    async def work(world: World) -> None:
        worker = world.processes["worker1"]
        hosts = world.hosts
        assert world.can_remove("worker1")
        assert world.can_remove("worker2")
        world.remove("worker1")
        assert not any(map(world.can_remove, ("worker1", "worker2", "gateway1", "nats")))
        assert set(world.processes) == {"worker2", "gateway1", "instance1", "writer1", "receipts1"}
        assert (world.gone, worker.removed) == ([worker], True)
        assert set(world.hosts) == set(hosts)
        worker.start()
        await asyncio.sleep(3.0)
        assert not worker.is_running
        assert [process.name for process in world.of_kind("worker")] == ["worker2"]

    in_world(work, TWO_WORKERS)


def test_a_call_has_the_status_of_its_answer() -> None:
    async def work(world: World) -> None:
        answer = await world.call("eve", "POST", "channels.leave", {"channel": "nowhere"})
        assert answer is not None
        assert (answer.status, answer.body["code"]) == (404, "channel_not_found")
        answer = await world.call("ann", "GET", "realtime.connect")
        assert answer is not None
        assert answer.status == 200
        assert answer.body["url"].startswith("ws://instance1:8081")

    in_world(work)


def test_a_call_is_not_answered_while_no_gateway_serves() -> None:
    async def work(world: World) -> None:
        world.processes["gateway1"].kill()
        assert await world.call("ann", "GET", "realtime.connect") is None
        assert world.loop.time() < 3.5

    in_world(work)


@pytest.mark.parametrize("how", ["pause", "kill"])
def test_a_call_is_given_up_when_its_gateway_stops_meanwhile(how: str) -> None:
    async def work(world: World) -> None:
        gateway = world.processes["gateway1"]
        calling = asyncio.ensure_future(world.call("ann", "GET", "realtime.connect"))
        await asyncio.sleep(0)
        if how == "pause":
            world.loop.pause(gateway.host)
        else:
            gateway.kill()
        assert await calling is None
        assert world.loop.time() == pytest.approx(3.0 + ANSWER_WITHIN_S, abs=0.1)

    in_world(work)


def errors_of(world: World) -> list[tuple[str, str]]:
    return [(entry.about["process"], entry.about["error"]) for entry in world.history.of("error")]


@pytest.mark.parametrize(("status", "is_error"), [(200, False), (404, False), (500, True), (503, False), (504, True)])
def test_an_answer_that_tells_of_an_error_of_the_server_is_noted(status: int, is_error: bool) -> None:  # noqa: FBT001
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status})
        await send({"type": "http.response.body"})

    async def work(world: World) -> None:
        world.processes["gateway1"].app = app
        answer = await world.call("ann", "GET", "channels.list?limit=3")
        assert answer == (status, {})
        said = [("gateway1", f"GET /api/v1/channels.list was answered {status}")]
        assert errors_of(world) == (said if is_error else [])

    in_world(work)


def test_a_call_that_ends_by_an_error_is_noted_and_not_answered() -> None:
    async def app(*_: Any) -> None:
        raise KeyError("a")

    async def work(world: World) -> None:
        world.processes["gateway1"].app = app
        assert await world.call("ann", "GET", "channels.list") is None
        assert errors_of(world) == [("gateway1", "GET /api/v1/channels.list was not answered: KeyError('a')")]

    in_world(work)


async def fail() -> None:
    await asyncio.sleep(0.1)
    raise KeyError("a")


def test_errors_that_nobody_handles_are_noted_unless_their_host_was_killed() -> None:
    async def work(world: World) -> None:
        worker, gateway = world.processes["worker1"].host, world.processes["gateway1"]
        kept = [worker.start(fail(), "failing"), gateway.host.start(fail(), "failing")]
        gateway.host.start(fail(), "failing")
        await asyncio.sleep(1.0)
        assert errors_of(world) == [("gateway1", "KeyError('a') in fail")]
        gateway.kill()
        world.report_failed_tasks()
        assert errors_of(world)[1:] == [("worker1", "KeyError('a') in fail")]
        assert len(kept) == 2

    in_world(work)


def test_a_client_connects_and_is_served() -> None:
    async def work(world: World) -> None:
        frames: list[dict[str, Any]] = []
        wire = world.connect("ws://instance1:8081/", frames.append, lambda _code, _reason: None)
        assert wire is not None
        wire.send("auth", token="ann", device_id="dev_desktop_00000000000000000000000001")
        await asyncio.sleep(2.0)
        assert [frame["type"] for frame in frames] == ["auth.ok"]

    in_world(work)


def test_nobody_listens_where_no_instance_serves() -> None:
    async def work(world: World) -> None:
        await asyncio.sleep(0)
        for url in ("ws://instance9:8081/", "ws://worker1:8081/", "nonsense"):
            assert world.connect(url, lambda _: None, lambda _code, _reason: None) is None
        world.processes["instance1"].kill()
        assert world.connect("ws://instance1:8081/", lambda _: None, lambda _code, _reason: None) is None

    in_world(work)
