"""What `fanout check` finds before a service does: of the service that it is given, or of everything."""

import asyncio
import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from fanout.api import MAX_MENTIONS, SendMessage
from fanout.events import MAX_TEXT, longest_event
from fanout.ids import MAX_ID_LENGTH
from fanout.ports.memberships import Channel
from fanout.subjects import MESSAGES, META
from services.adapters.nats import api
from services.cli.check import NEEDS
from services.cli.inspection import EVERY_MESSAGE_FITS, durability
from services.cli.main import app
from services.command.service import CommandService
from services.composition.backends import Backends
from services.composition.deployment import EVERYTHING, SERVICES, Deployment
from services.runtime.health import Health
from services.runtime.lifecycle import Process
from services.runtime.settings import load_settings
from tests.support.certificates import Authority
from tests.support.faulty import faulty_log, faulty_memberships
from tests.support.nats import connected
from tests.support.servers import ConfiguredNats, NatsServer, free_port

SECRET = "a-secret-that-is-long-enough-for-hs256"


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FANOUT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FANOUT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("FANOUT_JWT_SECRET", SECRET)
    monkeypatch.setenv("FANOUT_LISTEN", f"127.0.0.1:{free_port()}")
    monkeypatch.setenv("FANOUT_WS_LISTEN", f"127.0.0.1:{free_port()}")


@pytest.fixture
def on_servers(monkeypatch: pytest.MonkeyPatch, nats_server: NatsServer, redis_url: str) -> NatsServer:
    """The settings name servers that are there."""
    monkeypatch.setenv("FANOUT_NATS_URL", nats_server.url)
    monkeypatch.setenv("FANOUT_REDIS_URL", redis_url)
    return nats_server


def check(*service: str) -> tuple[int, dict[str, list[tuple[str, str]]]]:
    """The exit code, and what is said of each dependency, settings left out: (kind, text) by its name."""
    result = CliRunner().invoke(app, ["check", *service])
    said: dict[str, list[tuple[str, str]]] = {}
    for line in result.output.splitlines():
        kind, name, *words = line.split()
        if not name.startswith("FANOUT_"):
            said.setdefault(name, []).append((kind, " ".join(words)))
    return result.exit_code, said


def problems(said: Mapping[str, list[tuple[str, str]]]) -> dict[str, str]:
    """What is bad, by its name."""
    return {name: text for name, lines in said.items() for kind, text in lines if kind == "bad"}


def weak(said: Mapping[str, list[tuple[str, str]]], name: str) -> list[str]:
    return [text for kind, text in said[name] if kind == "weak"]


class TestService:
    def test_problems_come_first_then_what_is_weak_then_what_is_good(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FANOUT_NATS_URL", f"nats://127.0.0.1:{free_port()}")
        monkeypatch.setenv("FANOUT_JWT_SECRET", "short")
        kinds = [line.split()[0] for line in CliRunner().invoke(app, ["check"]).output.splitlines()]
        assert kinds == sorted(kinds, key=["bad", "weak", "ok"].index)
        assert set(kinds) == {"bad", "weak", "ok"}

    def test_what_it_needs_is_looked_at_and_nothing_else(
        self, monkeypatch: pytest.MonkeyPatch, on_servers: NatsServer
    ) -> None:
        monkeypatch.setenv("FANOUT_REDIS_URL", f"redis://127.0.0.1:{free_port()}")
        monkeypatch.delenv("FANOUT_JWT_SECRET")
        code, said = check("message-writer")
        assert (code, problems(said)) == (0, {})
        assert set(said) == {"log", "durability", "memberships", "messages", "listen"}
        code, said = check("fanout")
        assert (code, set(problems(said))) == (1, {"presence"})

    @pytest.mark.parametrize("service", SERVICES)
    def test_by_the_rules_of_serve(self, service: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("FANOUT_JWT_SECRET")
        code, said = check(service)
        assert code == 2
        assert "FANOUT_NATS_URL: services that run apart need a nats-server" in problems(said)["log"]
        assert ("FANOUT_REDIS_URL" in problems(said).get("presence", "")) is ("presence" in NEEDS[service])
        assert ("FANOUT_JWT_SECRET" in problems(said).get("tokens", "")) is ("tokens" in NEEDS[service])
        assert CliRunner().invoke(app, ["serve", service]).exit_code == 2

    def test_up_needs_no_server_and_no_secret(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("FANOUT_JWT_SECRET")
        assert check("up")[0] == 0
        assert list(tmp_path.iterdir()) == []

    def test_an_unknown_one_is_refused(self) -> None:
        assert CliRunner().invoke(app, ["check", "push"]).exit_code == 2

    @pytest.mark.parametrize("service", NEEDS)
    async def test_what_is_looked_at_is_what_it_opens(
        self, service: str, on_servers: NatsServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("services.composition.deployment.REGISTRY", CollectorRegistry())
        opened: set[str] = set()

        class Recorded(Health):
            def add(self, name: str, check: Any, *, required: bool = True) -> None:
                opened.add(name)

        starters = EVERYTHING if service == "up" else SERVICES[service]
        async with AsyncExitStack() as stack:
            settings = load_settings()
            backends = Backends(settings, Recorded(), stack, alone=service == "up")
            for start in starters:
                await start(Deployment(settings, backends, Recorded(), Process(), stack))
        dependencies = opened - {"routing_table", "lease"}
        assert dependencies == set(NEEDS[service]) - {"durability", "tokens", "snapshot", "listen", "ws_listen"}


class TestAddresses:
    @pytest.mark.parametrize("name", ["listen", "ws_listen"])
    def test_one_in_use_is_a_problem_for_a_service_that_is_to_be_started(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            monkeypatch.setenv(f"FANOUT_{name.upper()}", address)
            code, said = check("up")
            assert code == 2
            assert problems(said)[name].startswith(f"FANOUT_{name.upper()}: {address} is in use by another process;")
            code, said = check()
            assert code == 0
            assert said[name][0][0] == "ok"

    @pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 - bound for a moment, by a test
    def test_one_for_both_is_a_problem_for_a_service_that_serves_both(
        self, host: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        port = free_port()
        monkeypatch.setenv("FANOUT_LISTEN", f"{host}:{port}")
        monkeypatch.setenv("FANOUT_WS_LISTEN", f"127.0.0.1:{port}")
        code, said = check("up")
        assert code == 2
        assert problems(said)["ws_listen"].startswith(f"FANOUT_WS_LISTEN: 127.0.0.1:{port} is FANOUT_LISTEN's too")
        code, said = check()
        assert (code, problems(said)) == (0, {})

    def test_one_of_another_machine_is_a_problem(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FANOUT_LISTEN", "192.0.2.1:8080")
        code, said = check()
        assert code == 2
        assert "192.0.2.1:8080 cannot be listened on" in problems(said)["listen"]


class TestSnapshot:
    def test_without_one_there_is_nothing_to_look_at(self) -> None:
        assert check("up")[1]["snapshot"] == [("ok", "none is kept: the table is loaded from the stores at each start")]

    def test_in_a_folder_that_can_be_written_is_good(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FANOUT_SNAPSHOT", "table.snapshot")
        code, said = check("up")
        assert (code, said["snapshot"][0][0]) == (0, "ok")

    def test_in_a_folder_that_is_not_there_is_a_problem(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("FANOUT_SNAPSHOT", str(tmp_path / "gone" / "table.snapshot"))
        code, said = check("up")
        assert code == 2
        assert problems(said)["snapshot"].startswith(f"FANOUT_SNAPSHOT: {tmp_path / 'gone'} is no folder that can be")


class WithoutJetStream(NatsServer):
    def command(self) -> list[str]:
        return [str(self.binary), "-a", "127.0.0.1", "-p", str(self.port)]


class TestServers:
    def test_an_untrusted_certificate(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, redis_url: str) -> None:
        server = ConfiguredNats(tmp_path / "nats")
        server.config = Authority(tmp_path).issue("127.0.0.1").as_nats_config()
        server.start()
        try:
            monkeypatch.setenv("FANOUT_NATS_URL", server.url.replace("nats://", "tls://"))
            monkeypatch.setenv("FANOUT_REDIS_URL", redis_url)
            code, said = check("fanout")
            assert code == 1
            assert "its certificate is not trusted" in problems(said)["log"]
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
            assert check("fanout")[0] == 0
        finally:
            server.close()

    def test_one_without_jetstream(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, redis_url: str) -> None:
        server = WithoutJetStream(tmp_path / "nats")
        server.start()
        try:
            monkeypatch.setenv("FANOUT_NATS_URL", server.url)
            monkeypatch.setenv("FANOUT_REDIS_URL", redis_url)
            code, said = check("fanout")
        finally:
            server.close()
        assert code == 1
        assert "JetStream does not answer: it is turned off" in problems(said)["log"]

    def test_a_limit_at_which_some_messages_cannot_pass_is_weak_with_the_least_that_is_good(
        self, monkeypatch: pytest.MonkeyPatch, small_nats: ConfiguredNats
    ) -> None:
        monkeypatch.setenv("FANOUT_NATS_URL", small_nats.url)
        code, said = check()
        assert code == 0
        [text] = weak(said, "bus")
        assert text.startswith("the server's max_payload is 65,536 bytes: longer messages of users are refused (413)")
        assert "at least 327,680" in text

    def test_a_limit_at_which_no_service_starts_is_bad(
        self, monkeypatch: pytest.MonkeyPatch, small_nats: ConfiguredNats
    ) -> None:
        small_nats.config = "max_payload: 4KB\n"
        small_nats.restart()
        monkeypatch.setenv("FANOUT_NATS_URL", small_nats.url)
        code, said = check()
        assert code == 1
        assert "set its max_payload to at least 8,192" in problems(said)["bus"]

    async def test_every_message_that_rest_takes_fits_where_the_check_is_silent(self) -> None:
        mentions = [f"{number:0{MAX_ID_LENGTH}}" for number in range(MAX_MENTIONS)]
        longest = {
            "channel": "c" * MAX_ID_LENGTH,
            "text": "\x01" * MAX_TEXT,
            "mentions": mentions,
            "attachments": ["x" * (32 * 1024 - 30)],
            "client_msg_id": "c" * 128,
        }
        channel = Channel("c" * MAX_ID_LENGTH, "c", private=False, created_by="a" * MAX_ID_LENGTH, created_at="t")
        async with faulty_log() as log, faulty_memberships() as memberships:
            await memberships.create(channel, ["a" * MAX_ID_LENGTH])
            await CommandService(log, memberships).send_message(
                "a" * MAX_ID_LENGTH, msgspec.convert(longest, SendMessage), "i" * 128
            )
            [stored] = await log.stored(MESSAGES)
        assert longest_event(EVERY_MESSAGE_FITS) - 40_000 < len(stored.payload) < longest_event(EVERY_MESSAGE_FITS)


class TestStreams:
    async def test_of_another_program_are_named_with_the_remedy(self, on_servers: NatsServer) -> None:
        async with connected(on_servers.url) as nc:
            await nc.jsm().add_stream(name=META, subjects=["orders.*"], retention="workqueue")
        code, said = await asyncio.to_thread(check, "gateway")
        assert code == 1
        assert "the stream META is not Fanout's, for its subjects are orders.*" in problems(said)["log"]
        assert "FANOUT_PREFIX" in problems(said)["log"]

    async def test_that_hold_our_subjects_are_named_with_the_remedy(self, on_servers: NatsServer) -> None:
        async with connected(on_servers.url) as nc:
            await nc.jsm().add_stream(name="AUDIT", subjects=["messages.>"])
        code, said = await asyncio.to_thread(check, "gateway")
        assert code == 1
        assert "the stream AUDIT holds messages.send.*, which MESSAGES needs" in problems(said)["log"]

    def test_of_another_deployment_are_named(
        self, on_servers: NatsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        assert CliRunner().invoke(app, ["migrate"]).exit_code == 0
        assert check("gateway")[0] == 0
        monkeypatch.setenv("FANOUT_DATA_DIR", str(tmp_path / "other"))
        code, said = check("gateway")
        assert code == 1
        assert "is of deployment dep_" in problems(said)["log"]
        assert not (tmp_path / "other").exists()

    async def test_with_a_limit_of_their_own_are_weak(self, on_servers: NatsServer) -> None:
        await asyncio.to_thread(CliRunner().invoke, app, ["migrate"])
        async with connected(on_servers.url) as nc:
            config = (await api.stream_info(nc, MESSAGES))["config"]
            await api.call(nc, f"STREAM.UPDATE.{MESSAGES}", config | {"max_msg_size": 10_000})
        code, said = await asyncio.to_thread(check, "gateway")
        assert code == 0
        assert any(text.startswith("a stream has a max_msg_size of 10,000 bytes") for text in weak(said, "log"))

    async def test_whose_events_are_about_to_be_discarded_unread_are_weak(
        self, on_servers: NatsServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await asyncio.to_thread(CliRunner().invoke, app, ["migrate"])
        async with connected(on_servers.url) as nc:
            await api.create_consumer(
                nc, MESSAGES, {"name": "message-writer", "durable_name": "message-writer", "ack_policy": "explicit"}
            )
            assert weak((await asyncio.to_thread(check, "gateway"))[1], "log") == []
            await nc.call("messages.send.general", b"{}")
        assert weak((await asyncio.to_thread(check, "gateway"))[1], "log") == []
        later = time.time_ns() + 4 * 86_400 * 10**9
        monkeypatch.setattr("services.adapters.nats.inspection.time.time_ns", lambda: later)
        code, said = await asyncio.to_thread(check, "gateway")
        assert code == 0
        assert weak(said, "log") == [
            "message-writer has not read events of 4.0 days ago; 7.0 days are kept, and then discarded unread"
        ]


@pytest.fixture
def monitored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ConfiguredNats]:
    """A server whose monitoring port the settings name; the test sets its interval, and starts it."""
    server, port = ConfiguredNats(tmp_path / "nats"), free_port()
    server.config = f'http: "127.0.0.1:{port}"\njetstream {{ INTERVAL }}\n'
    monkeypatch.setenv("FANOUT_NATS_URL", server.url)
    monkeypatch.setenv("FANOUT_NATS_MONITOR_URL", f"http://127.0.0.1:{port}")
    yield server
    server.close()


class TestDurability:
    @pytest.mark.parametrize(
        ("interval", "good", "weaknesses"),
        [
            ("", "synced every 120 s", 1),
            ('sync_interval: "10s"', "synced every 10 s", 1),
            ('sync_interval: "2s"', "synced every 2 s", 0),
            ("sync_interval: always", "synced before a message is accepted", 0),
        ],
    )
    def test_is_what_the_server_says_of_its_interval(
        self, monitored: ConfiguredNats, interval: str, good: str, weaknesses: int
    ) -> None:
        monitored.config = monitored.config.replace("INTERVAL", interval)
        monitored.start()
        code, said = check()
        assert code == 0
        assert ("ok", f"streams with 1 replica; {good}") in said["durability"]
        found = weak(said, "durability")
        assert len(found) == weaknesses
        assert all(text.startswith("a server that loses power loses up to") for text in found)

    def test_cannot_be_said_without_the_port(self, on_servers: NatsServer) -> None:
        [text] = weak(check()[1], "durability")
        assert "cannot be seen without FANOUT_NATS_MONITOR_URL" in text

    def test_a_port_that_is_none_is_named(self, on_servers: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FANOUT_NATS_MONITOR_URL", f"http://127.0.0.1:{free_port()}")
        code, said = check()
        assert code == 1
        assert problems(said)["durability"].startswith("FANOUT_NATS_MONITOR_URL: no nats-server answers there")

    @pytest.mark.parametrize("answer", [{}, {"jetstream": {}}, {"jetstream": {"config": None}}, {"jetstream": None}])
    def test_a_server_that_does_not_say_is_as_good_as_none(
        self, on_servers: NatsServer, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]
    ) -> None:
        class Monitor(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Monitor) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            monkeypatch.setenv("FANOUT_NATS_MONITOR_URL", f"http://127.0.0.1:{server.server_port}")
            code, said = check()
            server.shutdown()
        assert code == 0
        assert any("sync_interval not seen" in text for _, text in said["durability"])

    @pytest.mark.parametrize("interval", [None, 0.0, 120.0])
    def test_three_replicas_are_good(self, interval: float | None) -> None:
        assert durability(3, interval).weak == ()
