"""`fanout bench sockets`: what it says at a small size, that its clients find every fault, and that nothing stays."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

import pytest

from benchmarks.cases import sockets
from benchmarks.cases.planning import Costs
from benchmarks.cases.sockets import SocketsOptions, planning
from benchmarks.errors import BenchError, NumberError
from benchmarks.live import websocket_clients
from benchmarks.live.sockets import sides
from benchmarks.live.sockets.audience import FIRST_SEQ, FRAME_BYTES, READERS, Audience, events
from benchmarks.live.sockets.sides import NAMES, RESERVED, Contest, IdleFigures, Turn
from benchmarks.live.websocket_clients import Clients, ClientSettings, open_sockets, run_clients
from benchmarks.processes import Leader, Worker
from fanout import text_frame
from tests.benchmarks.test_command import assert_complete, assert_stands_alone, fanout
from tests.benchmarks.test_pipeline import commands_with_files_in, until

SMALL = ["--connections", "1500", "--fan-out", "1200", "--quick"]
AUDIENCE = Audience(sockets=2, channels=4)


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)


def test_a_quick_run_gives_figures_that_can_be() -> None:
    result = fanout("sockets", *SMALL, "--json", "figures.json")
    assert result.exit_code == 0, result.output
    assert f"{sockets.CASE.stages}/{sockets.CASE.stages} " in result.stderr
    report = json.loads(Path("figures.json").read_bytes())
    assert_complete(report, result.stdout)
    assert_stands_alone(Path("fanout-bench-sockets-quick.html").read_text())
    assert {target["met"] for target in report["targets"]} == {None}
    figures = report["figures"]
    assert {server: of["connections"] for server, of in figures["idle"].items()} == {"service": 150, "plain": 150}
    deliveries = {"single": 10 * 100, "bursts": 2 * 8 * 100, "one": 200, "ten": 200, "hundred": 200, "none": 0}
    for contest in (*deliveries, "even", "hot"):
        for way, turns in figures[contest].items():
            assert len(turns) == 2
            for turn in turns:
                assert turn["deliveries"] == deliveries.get(contest, turn["deliveries"])
                assert min(*turn["delays_ns"], turn["server_s"]) > 0
                assert turn["deliveries"] or contest == "none", way
        assert ("floor" in figures[contest]) is (contest in ("single", "bursts"))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (SocketsOptions(fan_out=10_000_000), "--fan-out 10000000 needs 10,000,"),
        (SocketsOptions(10_000_000), r"--connections 10000000 needs 10,000,.*ulimit -Hn.*take --connections"),
    ],
)
def test_what_cannot_be_is_refused_before_it_is_begun(options: SocketsOptions, reason: str) -> None:
    begun: list[str] = []
    with pytest.raises(BenchError, match=reason):
        sockets.run(options, begun.append)  # type: ignore[arg-type]  # never called
    assert not begun


def test_as_many_connections_are_held_as_files_may_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [(500, 1_000)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, limit: limits.append(limit))
    assert sides.connections_allowed("--connections", 700, 1) == 700
    assert limits[-1] == (700 + RESERVED, 1_000)
    room = 1_000 - RESERVED
    assert sides.connections_allowed("--connections", 5_000, 1) == room
    with pytest.raises(NumberError, match=rf"--fan-out 751 needs .* 1,000 are allowed.*take --fan-out {room}$"):
        sides.connections_allowed("--fan-out", 751, 751)
    limits.append((10, 10))
    with pytest.raises(NumberError, match=r"raise the hard limit \(ulimit -Hn\)$"):
        sides.connections_allowed("--connections", 1, 1)


def test_a_quick_run_takes_a_part_of_what_is_given_and_never_too_little() -> None:
    for options, connections, fan_out in (
        (SocketsOptions(), 0, 100),
        (SocketsOptions(20_000), 2_000, 100),
        (SocketsOptions(300, fan_out=50), 100, 50),
    ):
        quick = sockets.quick(options)
        assert (quick.connections, quick.wanted, quick.fan_out) == (connections, 2_000, fan_out)


def test_a_large_run_says_what_to_plan_with_and_a_small_one_nothing() -> None:
    contest: Contest = {way: [Turn(200_000, 1.0, [1_000])] for way in NAMES}
    idle = IdleFigures(20_000, 20_000 * 10_240, server_s=20.0)
    costs = planning(SocketsOptions(), idle, {"single": contest})
    assert costs.instance_bytes_per_connection == 10_240
    assert costs.instance_s_per_connection == pytest.approx(1e-3)
    assert costs.instance_s_per_delivery == pytest.approx(5e-6)
    assert planning(SocketsOptions(fan_out=3_999), idle, {"single": contest}) == Costs()
    assert planning(SocketsOptions(), IdleFigures(9_999, 1, 1.0), {"single": contest}) == Costs()


def rehearsal(number: int) -> list[bytes]:
    """The frames that are due to a socket."""
    sent = events(AUDIENCE.rehearsal(), FIRST_SEQ)
    return [text_frame(event.client_json()) for event in AUDIENCE.due(number, sent)]


Fault = Callable[[list[bytes]], list[bytes]]
FAULTS: dict[str, Fault] = {
    "swapped": lambda frames: [*frames[:5], frames[6], frames[5], *frames[7:]],
    "lost": lambda frames: [*frames[:5], *frames[6:]],
    "lost at the end": lambda frames: frames[:-1],
    "doubled": lambda frames: [*frames[:6], frames[5], *frames[6:]],
    "doubled at the end": lambda frames: [*frames, frames[-1]],
    "lost and doubled": lambda frames: [*frames[:6], frames[5], *frames[6:-1]],
    "cut": lambda frames: [*frames[:-1], frames[-1][:-1]],
    "another's": lambda frames: [next(frame for frame in rehearsal(1) if frame not in frames), *frames[1:]],
    "altered": lambda frames: [frames[0].replace(b'"seq":1', b'"seq":2'), *frames[1:]],
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_each_fault_fails_the_check(fault: Fault) -> None:
    with pytest.raises(BenchError):
        sides.check_sockets([[(1, b"".join(fault(rehearsal(0))))]], 0, AUDIENCE, FIRST_SEQ)


@pytest.fixture
def connected() -> Iterator[tuple[Worker, list[socket.socket]]]:
    """Clients as in a run, of a server that is this test."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        ThreadPoolExecutor(1) as thread,
        Worker("the clients", run_clients, ClientSettings()) as clients,
    ):
        port = listening.getsockname()[1]
        connecting = thread.submit(clients.call, Clients.connect, port, AUDIENCE.sockets)
        accepted = [listening.accept()[0] for _ in range(AUDIENCE.sockets)]
        for each in accepted:
            while b"\r\n\r\n" not in each.recv(4096):
                pass
            each.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        connecting.result()
        yield clients, accepted
        for each in accepted:
            each.close()


def send(clients: Worker, accepted: list[socket.socket], faults: list[Fault | None]) -> None:
    """Send the rehearsal, with what was planted for each client, and have the clients check it."""
    assert {len(frame) for frame in rehearsal(0)} == {FRAME_BYTES}
    clients.call(Clients.begin, len(accepted) * len(rehearsal(0)) * FRAME_BYTES, keep=True)
    for number, (each, fault) in enumerate(zip(accepted, faults, strict=True)):
        frames = rehearsal(number)
        each.sendall(b"".join(fault(frames) if fault else frames))
    clients.call(Clients.until_complete, 1)
    clients.call(Clients.check_complete, 1)
    clients.call(Clients.apply, sides.check_sockets, 0, AUDIENCE, FIRST_SEQ)


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ([None, None], ""),
        ([None, FAULTS["swapped"]], r"socket 1: event .* came out of order"),
        ([None, FAULTS["lost and doubled"]], r"socket 1: event .* was lost"),
        ([FAULTS["doubled"], None], "something came twice"),
        ([FAULTS["lost"], FAULTS["doubled"]], r"bytes were due to each socket, and one \(\d+\) got"),
    ],
)
def test_clients_find_what_was_planted(
    connected: tuple[Worker, list[socket.socket]], faults: list[Fault | None], said: str
) -> None:
    with pytest.raises(BenchError, match=f"the clients failed: .*{said}") if said else nullcontext():
        send(*connected, faults)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 403 Forbidden\r\n\r\n", b"HTTP/1.1 101 "])
def test_a_client_that_is_refused_is_said(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as thread:
        opening = thread.submit(open_sockets, [0], listening.getsockname()[1], "secret")
        with listening.accept()[0] as accepted:
            accepted.recv(4096)
            accepted.sendall(answer)
        with pytest.raises(BenchError, match="not admitted"):
            opening.result()


@pytest.fixture
def counted() -> Iterator[tuple[Clients, list[socket.socket], Connection]]:
    """Two sockets of which the test holds the other ends, and the benchmark's end of the connection to it."""
    pairs, (theirs, ours) = [socket.socketpair() for _ in range(2)], Pipe()
    reader = Clients(ClientSettings(), Leader(ours))
    reader.add([read for read, _ in pairs])
    reader.begin(8, keep=False)
    yield reader, [written for _, written in pairs], theirs
    for each in (*pairs[0], *pairs[1], ours, theirs):
        each.close()


def test_a_frame_that_never_comes_and_a_closed_connection_are_noticed(
    counted: tuple[Clients, list[socket.socket], Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket_clients, "STALLED_AFTER_S", 0.05)
    reader, (first, second), _ = counted
    first.sendall(b"1234")
    second.sendall(b"123")
    with pytest.raises(BenchError, match="of 8 bytes that were due 7 came"):
        reader.until_complete(1)
    second.close()
    with pytest.raises(BenchError, match="the server closed a connection"):
        reader.until_complete(1)


def test_counting_ends_with_the_leading_process(counted: tuple[Clients, list[socket.socket], Connection]) -> None:
    reader, _, benchmark = counted
    benchmark.close()
    with pytest.raises(EOFError):
        reader.until_complete(1)


def test_each_complete_round_has_its_time(counted: tuple[Clients, list[socket.socket], Connection]) -> None:
    reader, (first, second), _ = counted
    for each in (first, second):
        each.sendall(b"1234" * 3)
    began = time.monotonic_ns()
    arrived = reader.until_complete(3)
    assert len(arrived) == 3
    assert began <= arrived[0] <= arrived[1] <= arrived[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_run(number: signal.Signals, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    command = [sys.executable, "-c", "from services.cli.main import app; app()", "bench", "sockets", *SMALL]
    with subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True) as run:
        until(lambda: commands_with_files_in(tmp_path).count("benchmarks.processes") >= 2)  # a server and its clients
        os.kill(run.pid, number)
        _, said = run.communicate(timeout=30)
    assert run.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL)
    assert ("interrupted" in said) is (number == signal.SIGINT)
    assert "Traceback" not in said
    until(lambda: not commands_with_files_in(tmp_path))


def test_who_reads_what_comes_out_the_same_from_both_sides() -> None:
    audience = Audience(sockets=230, channels=10)
    members = audience.members()
    for number in range(audience.sockets + 5):
        read = audience.channels_of(number)
        assert len(set(read)) == 10
        assert {channel for channel in read if channel in members} == {
            channel for channel, readers in members.items() if number in readers
        }
    for reach in READERS:
        reached = [number for channel in audience.channels_reaching(reach) for number in members[channel]]
        assert reached == list(range(audience.sockets))
    assert Audience(230, channels=4).channels_of(0) == audience.channels_of(0)[:4]
