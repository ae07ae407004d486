import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.simulation.processes import KINDS, RESTART_S, SERVER_ERROR
from tests.simulation.world import World
from tests.support.simulated import in_world


def test_a_process_of_each_kind_starts_and_is_ready() -> None:
    async def work(world: World) -> None:
        assert {process.kind for process in world.processes.values()} == set(KINDS)
        for name, process in world.processes.items():
            report = await process.report()
            assert report is not None
            assert report.ready, (name, report)
            assert process.is_running
            assert process.tasks_at_start["SimulatedProcess._run"] == 1
        assert world.processes["gateway1"].app is not None
        assert world.processes["instance1"].instance is not None
        assert world.processes["worker1"].worker is not None
        assert sorted(entry.about["process"] for entry in world.history.of("ready")) == sorted(world.processes)

    in_world(work)


def test_a_process_that_is_killed_while_it_reports_has_no_report() -> None:
    async def work(world: World) -> None:
        process = world.processes["worker1"]
        report = asyncio.ensure_future(process.report())
        await asyncio.sleep(0)
        process.kill()
        assert await report is None

    in_world(work)


@pytest.mark.parametrize("name", ["gateway1", "instance1", "worker1", "writer1"])
def test_a_process_that_was_killed_runs_again_once_it_was_started(name: str) -> None:
    async def work(world: World) -> None:
        process = world.processes[name]
        before = process.host
        process.kill()
        assert before.dead
        assert await process.report() is None
        assert (process.app, process.instance, process.worker) == (None, None, None)
        await asyncio.sleep(5.0)
        assert not process.is_running
        process.start()
        process.start()
        await asyncio.sleep(5.0)
        assert process.is_running
        assert process.host is not before
        assert len([host for host in process.hosts if not host.dead]) >= 1
        assert len(world.history.of("killed")) == 1
        assert world.history.of("ended") == []

    in_world(work)


@pytest.mark.parametrize("name", ["gateway1", "instance1", "worker1", "writer1"])
def test_a_process_that_is_asked_to_stop_ends_without_a_failure_and_stays_away(name: str) -> None:
    async def work(world: World) -> None:
        process = world.processes[name]
        process.stop()
        await asyncio.sleep(15.0)
        assert not process.is_running
        assert [entry.about for entry in world.history.of("ended")] == [{"process": name, "failure": ""}]

    in_world(work)


def test_a_connection_that_comes_while_an_instance_stops_is_no_error_of_the_instance() -> None:
    async def work(world: World) -> None:
        process = world.processes["instance1"]
        closed: list[int] = []
        assert world.connect("ws://instance1/ws", lambda _frame: None, lambda code, _reason: closed.append(code))
        process.instance = None  # as where its sockets are closed before the connection is served
        await asyncio.sleep(15.0)
        assert closed
        assert not world.history.of("error")

    in_world(work)


def test_a_process_that_is_started_while_it_stops_runs_again() -> None:
    async def work(world: World) -> None:
        process = world.processes["worker1"]
        process.stop()
        await asyncio.sleep(0.01)
        process.start()
        await asyncio.sleep(15.0)
        assert process.is_running
        assert len(world.history.of("ended")) == 1

    in_world(work)


def test_a_process_that_fails_is_noted_and_started_again() -> None:
    async def work(world: World) -> None:
        process = world.processes["worker1"]
        assert process._process is not None
        process.host.context.run(process._process.fail, KeyError("a"))
        await asyncio.sleep(0.5 * RESTART_S)
        assert not process.is_running
        assert [entry.about["failure"] for entry in world.history.of("ended")] == ["KeyError: 'a'"]
        await asyncio.sleep(RESTART_S + 3.0)
        assert process.is_running

    in_world(work)


def test_a_task_that_failed_unseen_is_noted_when_its_process_ends() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise KeyError("a")

    async def work(world: World) -> None:
        process = world.processes["worker1"]
        kept = process.host.start(fail(), "failing")
        await asyncio.sleep(1.0)
        assert world.history.of("error") == []
        process.stop()
        await asyncio.sleep(15.0)
        assert [entry.about["process"] for entry in world.history.of("error")] == ["worker1"]
        assert kept.done()

    in_world(work)


def closed_by(serve: Callable[[Any], Awaitable[None]]) -> tuple[list[int], list[str]]:
    """The close codes at the device, and the errors that are noted, of a connection that is served so."""

    async def work(world: World) -> tuple[list[int], list[str]]:
        closed: list[int] = []
        instance = world.processes["instance1"].instance
        instance.serve = serve  # type: ignore[method-assign, union-attr]
        world.connect("ws://instance1:8081/", lambda _: None, lambda code, _: closed.append(code))
        await asyncio.sleep(1.0)
        return closed, [entry.about["error"] for entry in world.history.of("error")]

    return in_world(work)  # type: ignore[no-any-return]


def test_a_connection_that_is_served_to_its_end_is_closed_by_1000() -> None:
    async def serve(_socket: Any) -> None:
        await asyncio.sleep(0)

    assert closed_by(serve) == ([1000], [])


def test_a_connection_that_is_closed_by_an_error_of_the_server_is_noted() -> None:
    async def close(socket: Any) -> None:
        await socket.close(SERVER_ERROR, "it failed")

    async def fail(_socket: Any) -> None:
        await asyncio.sleep(0)
        raise KeyError("a")

    said = "a WebSocket was closed with 1011"
    assert closed_by(close) == ([1011], [said])
    assert closed_by(fail) == ([1011], [said, "KeyError('a') in _serve > fail"])


def test_a_process_that_cannot_reach_what_it_needs_to_start_tries_again_without_a_failure() -> None:
    async def work(world: World) -> None:
        process = world.processes["worker1"]
        process.kill()
        process.start()
        for link in world.servers.network.links_of("nats", "worker1"):
            link.cut()
        await asyncio.sleep(10.0)
        assert process.is_running
        assert all(entry.about["failure"] == "" for entry in world.history.of("ended"))

    in_world(work)


def test_the_clocks_of_processes_differ_by_their_skew() -> None:
    async def work(world: World) -> None:
        process = world.processes["worker1"]
        process.kill()
        process.skew_s = 1.5
        process.start()
        await asyncio.sleep(0)
        assert process.host.machine.wall_ns() - world.outside.machine.wall_ns() == pytest.approx(1.5e9)

    in_world(work)


def test_each_process_has_a_folder_of_its_own_whose_files_it_keeps_until_it_loses_them() -> None:
    async def work(world: World) -> None:
        await asyncio.sleep(0)
        folders = {name: process._settings.data_dir for name, process in world.processes.items()}
        assert len(set(folders.values())) == len(folders)
        assert all(folder.is_dir() and folder.name == name for name, folder in folders.items())
        process, folder = world.processes["worker1"], folders["worker1"]
        (folder / "kept").write_text("a")
        (folders["gateway1"] / "kept").write_text("a")
        process.kill()
        process.start()
        assert (folder / "kept").exists()
        process.lose_files()
        assert list(folder.iterdir()) == []
        assert (folders["gateway1"] / "kept").exists()

    in_world(work)


def test_the_connections_of_an_instance_break_with_it() -> None:
    async def work(world: World) -> None:
        closed: list[int] = []
        wire = world.connect("ws://instance1:8081/", lambda _: None, lambda code, _: closed.append(code))
        assert wire is not None
        assert world.processes["instance1"].wires == [wire]
        world.processes["instance1"].kill()
        await asyncio.sleep(1.0)
        assert closed == [1006]

    in_world(work)
