"""The settings of a test are its own, and so are the log and the figures of each command that it runs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tests.support.logs import logging_put_back
from tests.support.servers import NatsServer, free_port

SECRET = "a-secret-that-is-long-enough-for-hs256"


@pytest.fixture(autouse=True)
def _logging_stays_as_it_was() -> Iterator[None]:
    with logging_put_back():
        yield


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FANOUT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FANOUT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("FANOUT_JWT_SECRET", SECRET)
    monkeypatch.setenv("FANOUT_LISTEN", f"127.0.0.1:{free_port()}")
    monkeypatch.setenv("FANOUT_WS_LISTEN", f"127.0.0.1:{free_port()}")
    monkeypatch.setattr("services.composition.running.REGISTRY", CollectorRegistry())


@pytest.fixture
def on_servers(monkeypatch: pytest.MonkeyPatch, nats_server: NatsServer, redis_url: str) -> NatsServer:
    """The settings name servers that are there."""
    monkeypatch.setenv("FANOUT_NATS_URL", nats_server.url)
    monkeypatch.setenv("FANOUT_REDIS_URL", redis_url)
    return nats_server
