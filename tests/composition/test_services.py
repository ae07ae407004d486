"""Which services need what, as `fanout check` and `fanout serve` see it."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from services.cli.check import CHECKED
from services.cli.main import app
from services.composition.backends import Backends
from services.composition.running import ServiceContext, rows_of, start_all
from services.composition.services import SERVICES
from services.composition.table import BACKENDS
from services.runtime.health import Health
from services.runtime.lifecycle import Process
from services.runtime.settings import load_settings
from tests.support.checking import check, problems
from tests.support.servers import NatsServer, free_port

OWN_CHECKS = {"routing_table", "instances", "lease", "routing", "membership_changes", "receipts"}
"""Checks of what a service itself does, beside those of the stores that it needs."""


def needed_by(service: str) -> set[str]:
    return {row.name for row in rows_of(CHECKED[service], BACKENDS)}


class TestService:
    def test_what_it_needs_is_looked_at_and_nothing_else(
        self, monkeypatch: pytest.MonkeyPatch, on_servers: NatsServer
    ) -> None:
        monkeypatch.setenv("FANOUT_REDIS_URL", f"redis://127.0.0.1:{free_port()}")
        monkeypatch.delenv("FANOUT_JWT_SECRET")
        code, said = check("message-writer")
        assert (code, set(problems(said))) == (1, {"unread"})
        assert set(said) == {"log", "durability", "memberships", "messages", "unread", "listen"}
        code, said = check("fanout")
        assert (code, set(problems(said))) == (1, {"presence"})

    @pytest.mark.parametrize("service", SERVICES)
    def test_by_the_rules_of_serve(self, service: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("FANOUT_JWT_SECRET")
        code, said = check(service)
        assert code == 2
        assert "FANOUT_NATS_URL: services that run in separate processes need a nats-server" in problems(said)["log"]
        assert ("FANOUT_REDIS_URL" in problems(said).get("presence", "")) is ("presence" in needed_by(service))
        assert ("FANOUT_JWT_SECRET" in problems(said).get("tokens", "")) is ("tokens" in needed_by(service))
        assert CliRunner().invoke(app, ["serve", service]).exit_code == 2

    def test_up_needs_no_server_and_no_secret(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("FANOUT_JWT_SECRET")
        assert check("up")[0] == 0
        assert list(tmp_path.iterdir()) == []

    def test_an_unknown_one_is_refused(self) -> None:
        assert CliRunner().invoke(app, ["check", "push"]).exit_code == 2

    @pytest.mark.parametrize("service", CHECKED)
    async def test_what_is_looked_at_is_what_it_opens(self, service: str, on_servers: NatsServer) -> None:
        watched: dict[str, bool] = {}

        class Recorded(Health):
            def add(self, name: str, check: Any, *, required: bool = True) -> None:
                watched[name] = required

        async with AsyncExitStack() as stack:
            settings, health = load_settings(), Recorded()
            backends = Backends(BACKENDS, settings, health, stack, alone=service == "up")
            context = ServiceContext(settings, health, CollectorRegistry(), Process(), stack)
            await start_all(CHECKED[service], context, backends)
        assert watched.keys() - OWN_CHECKS == needed_by(service) - {"tokens"}
        degrading = {"presence"} if service in {"gateway", "up"} else set()
        degrading |= {"messages", "membership_changes"} if service == "notification" else set()
        degrading |= {"unread"} & watched.keys()
        degrading |= {"routing", "receipts"} & watched.keys()
        assert {name for name, required in watched.items() if not required} == degrading
