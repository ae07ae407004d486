"""`fanout bench sockets`: what it says at a small size, that its clients find every fault, and that nothing stays."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from benchmarks.cases import sockets
from benchmarks.cases.planning import Costs
from benchmarks.cases.sockets import SocketsOptions
from benchmarks.cases.sockets_tables import Contest, Measured, shares
from benchmarks.errors import BenchError, NumbersError
from benchmarks.live import websocket_clients
from benchmarks.live.sockets import limits
from benchmarks.live.sockets.channels import FIRST_SEQ, FRAME_BYTES, Audience
from benchmarks.live.sockets.figures import LOADS, SERVERS, IdleFigures, Turn
from benchmarks.live.sockets.limits import RESERVED
from benchmarks.live.sockets.load_clients import ClientSettings, LoadClients, check_socket, run_clients
from benchmarks.live.websocket_clients import SocketReader
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
    assert [figures["idle"][server]["connections"] for server in ("service", "plain")] == [150, 150]
    assert {turn["deliveries"] for turn in both(figures["single"])} == {10 * 100}
    assert {turn["deliveries"] for turn in both(figures["bursts"])} == {2 * 8 * 100}
    assert {turn["deliveries"] for turn in figures["single"]["floor"]} == {10 * 100}
    floods = figures["floods"]
    for contest in (figures["last"], figures["single"], figures["bursts"], *figures["many"].values(), *floods.values()):
        for turn in both(contest):
            assert min(turn["delays_ns"]) > 0
            assert min(turn["server_s"], turn["clients_s"], turn["wall_s"]) > 0
    assert all(turn["deliveries"] for load in ("even", "hot") for turn in both(floods[load]))


def both(contest: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The turns of both servers."""
    return [*contest["service"], *contest["plain"]]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (SocketsOptions(channels=3), "--channels must be at least 4"),
        (SocketsOptions(channels=10_001), "--channels 10001 are too many .*take --channels 10000 at most"),
        (SocketsOptions(fan_out=10_000_000), "--fan-out 10000000 needs 10,000,"),
        (
            SocketsOptions(10_000_000),
            r"--connections 10000000 needs 10,000,.*ulimit -Hn.*take --conn",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_it_is_begun(options: SocketsOptions, reason: str) -> None:
    begun: list[str] = []
    with pytest.raises(BenchError, match=reason):
        sockets.run(options, begun.append)  # type: ignore[arg-type]  # never called
    assert not begun


def test_as_many_connections_are_held_as_files_may_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "raise_limit", lambda wanted: min(wanted, 1_000))
    assert limits.room_for_idle(500) == 500
    assert limits.room_for_idle(5_000) == 1_000 - RESERVED - limits.WARM_UP
    with pytest.raises(BenchError, match=rf"take --fan-out {1_000 - RESERVED - 5}$"):
        limits.require_room_to_play(1_000)


def test_connections_that_were_asked_for_are_held_or_refused_with_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "raise_limit", lambda wanted: min(wanted, 1_000))
    room = 1_000 - RESERVED - limits.WARM_UP
    limits.require_room_for_idle(room)
    with pytest.raises(
        NumbersError, match=rf"--connections 5000 needs .* 1,000 are allowed.*take --connections {room}$"
    ):
        limits.require_room_for_idle(5_000)
    monkeypatch.setattr(limits, "raise_limit", lambda wanted: min(wanted, 10))
    with pytest.raises(NumbersError, match="leaves none for a connection"):
        limits.room_for_idle(1)


@pytest.mark.parametrize(
    ("options", "taken"),
    [
        (SocketsOptions(), (0, 2_000, 100)),
        (SocketsOptions(20_000), (2_000, 2_000, 100)),
        (SocketsOptions(300, fan_out=50), (100, 2_000, 50)),
    ],
)
def test_a_quick_run_takes_a_part_of_what_is_given_and_never_too_little(
    options: SocketsOptions, taken: tuple[int, int, int]
) -> None:
    quick = sockets.quick(options)
    assert (quick.connections, quick.wanted, quick.fan_out) == taken


def measured_with(connections: int) -> Measured:
    """Connections of 10 KiB, 1,000 opened and 200,000 events delivered for each second of the server."""
    figures = IdleFigures(connections, connections * 10 * 1024, opened_s=1.0, server_s=connections / 1_000)
    contest: Contest = {server: [Turn(200_000, 1.0, 1.0, 1.0, [1_000])] for server in SERVERS}
    return Measured(
        idle=dict.fromkeys(SERVERS, figures),
        last=contest,
        single=contest,
        bursts=contest,
        many={},
        floods=dict.fromkeys(LOADS, contest),
    )


def test_a_large_run_says_what_to_plan_with_and_a_small_one_nothing() -> None:
    costs = sockets._planning(SocketsOptions(), measured_with(20_000))
    assert costs.instance_bytes_per_connection == 10_240
    assert costs.instance_s_per_connection == pytest.approx(1e-3)
    assert costs.instance_s_per_delivery == pytest.approx(5e-6)
    for options, connections in ((SocketsOptions(), 9_999), (SocketsOptions(fan_out=3_999), 20_000)):
        assert sockets._planning(options, measured_with(connections)) == Costs()


def test_the_99th_of_a_hundred_is_told_only_of_a_hundred() -> None:
    few, many = (Turn(1, 1.0, 1.0, 1.0, [1_000] * count) for count in (99, 100))
    assert list(shares([many])) == ["median", "99 of 100", "longest"]
    assert list(shares([many], [few])) == ["median", "longest"]


def rehearsal(number: int) -> list[bytes]:
    """The frames that are due to a socket."""
    return [text_frame(event.client_json()) for event in AUDIENCE.due_in_rehearsal(number)]


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


def test_what_is_due_passes_the_check() -> None:
    assert {len(frame) for frame in rehearsal(0)} == {FRAME_BYTES}
    check_socket(0, [(1, b"".join(rehearsal(0)))], AUDIENCE.due_in_rehearsal(0))


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_each_fault_fails_the_check(fault: Fault) -> None:
    with pytest.raises(BenchError):
        check_socket(0, [(1, b"".join(fault(rehearsal(0))))], AUDIENCE.due_in_rehearsal(0))


@pytest.fixture
def connected() -> Iterator[tuple[Worker, list[socket.socket]]]:
    """Clients as in a run, of a server that is this test."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        settings = ClientSettings(first=0, most=2, secret=None, audience=AUDIENCE)
        with ThreadPoolExecutor(1) as thread, Worker("the clients", run_clients, settings) as clients:
            port = listening.getsockname()[1]
            connecting = thread.submit(clients.call, LoadClients.connect, port, AUDIENCE.sockets)
            accepted = [listening.accept()[0] for _ in range(AUDIENCE.sockets)]
            for each in accepted:
                while b"\r\n\r\n" not in each.recv(4096):
                    pass
                each.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
            connecting.result()
            yield clients, accepted
            for each in accepted:
                each.close()


def sent_to(clients: Worker, accepted: list[socket.socket], faults: list[Fault | None]) -> int:
    """How many frames the clients found right, with what was planted for each of them."""
    clients.call(LoadClients.begin, keep=True, burst=len(rehearsal(0)))
    for number, (each, fault) in enumerate(zip(accepted, faults, strict=True)):
        frames = rehearsal(number)
        each.sendall(b"".join(fault(frames) if fault else frames))
    clients.call(LoadClients.finish, 1)
    return clients.call(LoadClients.check, FIRST_SEQ + 1)


def test_clients_that_get_what_is_due_say_so(connected: tuple[Worker, list[socket.socket]]) -> None:
    assert sent_to(*connected, [None, None]) == len(rehearsal(0)) + len(rehearsal(1))


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ([None, FAULTS["swapped"]], r"socket 1: event .* came out of order"),
        ([None, FAULTS["lost and doubled"]], r"socket 1: event .* was lost"),
        ([FAULTS["doubled"], None], "something came twice"),
        ([FAULTS["lost"], FAULTS["doubled"]], r"bytes were due to each socket, and one \(\d+\) got"),
    ],
)
def test_clients_find_what_was_planted(
    connected: tuple[Worker, list[socket.socket]], faults: list[Fault | None], said: str
) -> None:
    with pytest.raises(BenchError, match=f"the clients failed: .*{said}"):
        sent_to(*connected, faults)


@pytest.fixture
def counted() -> Iterator[tuple[SocketReader, list[socket.socket], Connection]]:
    """Two sockets of which the test holds the other ends, and the benchmark's end of the connection to it."""
    pairs, (theirs, ours) = [socket.socketpair() for _ in range(2)], Pipe()
    reader = SocketReader(Leader(ours))
    reader.add([read for read, _ in pairs])
    reader.begin(8, keep=False)
    yield reader, [written for _, written in pairs], theirs
    for each in (*pairs[0], *pairs[1], ours, theirs):
        each.close()


def test_a_frame_that_never_comes_is_missed(
    counted: tuple[SocketReader, list[socket.socket], Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket_clients, "STALLED_AFTER_S", 0.05)
    reader, (first, second), _ = counted
    first.sendall(b"1234")
    second.sendall(b"123")
    with pytest.raises(BenchError, match="of 8 bytes that were due 7 came"):
        reader.until_complete(1)


def test_a_connection_that_is_closed_is_noticed(counted: tuple[SocketReader, list[socket.socket], Connection]) -> None:
    reader, (first, second), _ = counted
    first.sendall(b"1234")
    second.close()
    with pytest.raises(BenchError, match="the server closed a connection"):
        reader.until_complete(1)


def test_counting_ends_with_the_leading_process(counted: tuple[SocketReader, list[socket.socket], Connection]) -> None:
    reader, _, benchmark = counted
    benchmark.close()
    with pytest.raises(EOFError):
        reader.until_complete(1)


def test_each_complete_round_has_its_time(counted: tuple[SocketReader, list[socket.socket], Connection]) -> None:
    reader, (first, second), _ = counted
    for each in (first, second):
        each.sendall(b"1234" * 3)
    began = time.monotonic_ns()
    arrived = reader.until_complete(3)
    assert len(arrived) == 3
    assert began <= arrived[0] <= arrived[1] <= arrived[2]
    reader.require_each(12)


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
    for reach in ("all", "hundred", "ten", "one"):
        reached = [number for channel in audience.channels_reaching(reach) for number in members[channel]]
        assert reached == list(range(audience.sockets))
    assert replace(audience, channels=4).channels_of(0) == audience.channels_of(0)[:4]
