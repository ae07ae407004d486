"""Names that are misspelt are said, and names of others are not."""

import os
from pathlib import Path

import pytest

from services.runtime.unknown import unknown_variables


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("FANOUT_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("FANOUT_INSTANSE_ID", "FANOUT_INSTANCE_ID"),
        ("FANOUT_DATADIR", "FANOUT_DATA_DIR"),
        ("FANOUT_REDISURL", "FANOUT_REDIS_URL"),
        ("FANOUT_TOKENS", "FANOUT_TOKEN"),
    ],
)
def test_a_misspelt_name_is_said_with_the_one_that_was_meant(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(name, "hunter2")
    assert unknown_variables() == [f"{name}: is no setting; did you mean {meant}?"]


def test_a_name_that_is_like_no_other_is_said_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANOUT_ZZZZZZ", "1")
    assert unknown_variables() == ["FANOUT_ZZZZZZ: is no setting"]


def test_dotenv_is_looked_at_as_well() -> None:
    Path(".env").write_text("FANOUT_DATADIR=x\nFANOUT_PARTITIONS=3\nOTHER=x\n")
    assert unknown_variables() == ["FANOUT_DATADIR in .env: is no setting; did you mean FANOUT_DATA_DIR?"]


def test_the_variables_of_the_clients_are_known_where_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANOUT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("FANOUT_TOKEN", "x")
    monkeypatch.setenv("FANOUT_LISTEN", "127.0.0.1:1")
    assert unknown_variables() == []
    Path(".env").write_text("FANOUT_URL=x\n")
    (line,) = unknown_variables()
    assert line.startswith("FANOUT_URL in .env: is read from the environment only")


def test_what_kubernetes_tells_of_a_service_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_REST", "PORT", "PORT_8080_TCP", "PORT_8080_TCP_ADDR"):
        monkeypatch.setenv(f"FANOUT_GATEWAY_{name}", "x")
    assert unknown_variables() == []
    monkeypatch.setenv("FANOUT_WS_PORT", "8081")
    (line,) = unknown_variables()
    assert line.startswith("FANOUT_WS_PORT: ")
