"""The monitoring port of nats-server: what it says of its interval."""

from pathlib import Path

import pytest

from fanout.errors import Unavailable
from services.adapters.nats_monitor import sync_interval
from tests.support.servers import ConfiguredNats, free_port


@pytest.mark.parametrize(
    ("line", "seconds"), [("", 120.0), ('sync_interval: "10s"', 10.0), ("sync_interval: always", 0)]
)
async def test_the_interval_is_as_configured(tmp_path: Path, line: str, seconds: float) -> None:
    server, port = ConfiguredNats(tmp_path / "nats"), free_port()
    server.config = f'http: "127.0.0.1:{port}"\njetstream {{ {line} }}\n'
    server.start()
    try:
        assert await sync_interval(f"http://127.0.0.1:{port}/") == seconds
    finally:
        server.close()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://["])
async def test_a_port_where_none_answers_is_unavailable(url: str) -> None:
    with pytest.raises(Unavailable, match="no nats-server answers there"):
        await sync_interval(url)


async def test_the_port_of_clients_is_none(nats_url: str) -> None:
    with pytest.raises(Unavailable):
        await sync_interval(nats_url.replace("nats://", "http://"))
