"""What `fanout check` says of NATS."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fanout.errors import Unavailable
from fanout.ports.log import Log
from fanout.streams import MESSAGES, META, RECEIPTS, STREAMS
from services.adapters.nats import NatsConnection, api
from services.cli.main import app
from services.composition.backends import Backends
from services.composition.nats import durability
from services.composition.table import BACKENDS
from services.runtime.health import Health
from services.runtime.settings import load_settings
from tests.support.certificates import Authority
from tests.support.checking import check, problems, weak
from tests.support.nats import connected
from tests.support.servers import ConfiguredNats, NatsServer, free_port


class WithoutJetStream(NatsServer):
    def command(self) -> list[str]:
        return [str(self.binary), "-a", "127.0.0.1", "-p", str(self.port)]


async def create_durable(nc: NatsConnection, stream: str, name: str) -> None:
    await api.create_consumer(nc, stream, {"name": name, "durable_name": name, "ack_policy": "explicit"})


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
            for name in STREAMS[MESSAGES].durables:
                await create_durable(nc, MESSAGES, name)
            assert weak((await asyncio.to_thread(check, "gateway"))[1], "log") == []
            await nc.call("messages.send.general", b"{}")
        assert weak((await asyncio.to_thread(check, "gateway"))[1], "log") == []
        later = time.time_ns() + 4 * 86_400 * 10**9
        monkeypatch.setattr("services.adapters.nats.inspection.machine.wall_ns", lambda: later)
        code, said = await asyncio.to_thread(check, "gateway")
        assert code == 0
        assert weak(said, "log") == [
            f"{name} has not read events of 4.0 days ago; 7.0 days are kept, and then discarded unread"
            for name in STREAMS[MESSAGES].durables
        ]

    async def test_that_hold_events_and_whose_reader_has_never_run_are_weak(self, on_servers: NatsServer) -> None:
        await asyncio.to_thread(CliRunner().invoke, app, ["migrate"])
        assert weak((await asyncio.to_thread(check, "gateway"))[1], "log") == []
        async with connected(on_servers.url) as nc:
            await nc.call("receipts.read.general", b"{}")
            code, said = await asyncio.to_thread(check, "gateway")
            assert code == 0
            [text] = weak(said, "log")
            assert text.startswith(
                "no receipt-writer has ever run: RECEIPTS holds events that it has not read; 7.0 days"
            )
            await create_durable(nc, RECEIPTS, "receipt-writer")
        assert weak((await asyncio.to_thread(check, "gateway"))[1], "log") == []


async def test_a_stream_that_may_be_missed_is_watched_by_itself(
    on_servers: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, health, stream_info = load_settings(), Health(), api.stream_info

    async def without_leader(nc: NatsConnection, stream: str) -> dict[str, Any]:
        if stream == RECEIPTS:
            raise Unavailable("the stream has no leader")
        return await stream_info(nc, stream)

    async with AsyncExitStack() as stack:
        await Backends(BACKENDS, settings, health, stack, alone=False).open(Log)
        assert (await health.report()).degraded is False
        monkeypatch.setattr(api, "stream_info", without_leader)
        report = await health.report()
    assert (report.ready, report.degraded) == (True, True)
    assert (report.checks["log"], report.checks["receipts"]) == ("ok", "Unavailable")


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
