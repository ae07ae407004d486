import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout.ids import check_id
from services.runtime.settings import Address, ConfigurationError, load_settings

JWKS = {"JWKS_URL": "https://issuer.example/jwks", "JWT_AUDIENCE": "chat", "JWT_ISSUER": "https://issuer.example"}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("FANOUT_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def lines_of(monkeypatch: pytest.MonkeyPatch, **variables: str) -> list[str]:
    for name, value in variables.items():
        monkeypatch.setenv(f"FANOUT_{name}", value)
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    return caught.value.lines


def test_defaults_are_those_of_the_contract() -> None:
    settings = load_settings()
    assert str(settings.listen) == "127.0.0.1:8080"
    assert str(settings.ws_listen) == "127.0.0.1:8081"
    assert settings.public_ws_url() == "ws://127.0.0.1:8081/ws"
    assert settings.jwt_algorithms == ("HS256",)
    assert (settings.nats_url, settings.redis_url, settings.jwt_secret) == (None, None, None)
    assert check_id(settings.instance_id, "instance_id") != load_settings().instance_id


def test_the_longest_text_fits_in_a_body_however_it_is_escaped() -> None:
    assert load_settings().max_body > 40_000 * len("\\ud83d\\ude00")


def test_a_dotenv_file_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("FANOUT_PARTITIONS=3\nFANOUT_RATE_BURST=7\nOTHER=x\n")
    monkeypatch.setenv("FANOUT_PARTITIONS", "4")
    settings = load_settings()
    assert (settings.partitions, settings.rate_burst) == (4, 7)


def test_an_empty_variable_is_as_if_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANOUT_NATS_URL", "")
    assert load_settings().nats_url is None


def test_algorithms_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANOUT_JWT_ALGORITHMS", "RS256, EdDSA")
    for name, value in JWKS.items():
        monkeypatch.setenv(f"FANOUT_{name}", value)
    assert load_settings().jwt_algorithms == ("RS256", "EdDSA")


@pytest.mark.parametrize(
    "origins", ["", "*", "https://chat.example, http://localhost:3000", "capacitor://localhost", "http://[::1]:3000"]
)
def test_origins_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch, origins: str) -> None:
    monkeypatch.setenv("FANOUT_CORS_ORIGINS", origins)
    assert ", ".join(load_settings().cors_origins) == origins


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("LISTEN", "8080", "host:port"),
        ("LISTEN", "localhost:99999", "a port of 0 to 65535"),
        ("LISTEN", "localhost:٣", "host:port"),
        ("NATS_URL", "http://localhost", "nats://"),
        ("REDIS_URL", "localhost:6379", "redis://"),
        ("NATS_URL", "nats://localhost:port", "by number"),
        ("NATS_URL", "nats://a:4222,nats://", "a host"),
        ("NATS_URL", "nats://[::1", "a host"),
        ("REDIS_URL", "redis://localhost:99999", "by number"),
        ("REDIS_URL", "redis://:pass/word@localhost:6379", "percent-encode"),
        ("JWKS_URL", "https://", "a host"),
        ("WS_URL", "ws://", "a host"),
        ("JWKS_URL", "file:///etc/passwd", "https://"),
        ("JWT_ALGORITHMS", "none", "HS256"),
        ("INSTANCE_ID", "a.b", "A-Z"),
        ("CORS_ORIGINS", "https://chat.example/", "https://chat.example,"),
        ("CORS_ORIGINS", "chat.example", "https://chat.example,"),
        ("CORS_ORIGINS", "https://*.example", "https://chat.example,"),
        ("CORS_ORIGINS", "null", "https://chat.example,"),
        ("MONGO_URL", "localhost:27017", "mongodb+srv://"),
        ("MONGO_URL", "mongodb://", "name a host"),
        ("MONGO_URL", "mongodb://user:password@/fanout", "name a host"),
        ("MONGO_URL", "mongodb://user:pass/word@localhost", "percent-encode"),
        ("CASSANDRA_HOSTS", "a,b:port", "by number"),
        ("CASSANDRA_HOSTS", "ann:p/q@a", "percent-encode"),
        ("CASSANDRA_HOSTS", ":9042", "hosts"),
        ("PARTITIONS", "0", "greater than or equal to 1"),
        ("LOG_FORMAT", "xml", "json"),
    ],
)
def test_each_error_names_its_variable_and_the_remedy(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, remedy: str
) -> None:
    (line,) = lines_of(monkeypatch, **{variable: value})
    assert line.startswith(f"FANOUT_{variable}: ")
    assert remedy in line


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MONGO_URL", "mongodb://user:p%2Fss@one:27017,two:27017/chat?replicaSet=rs0"),
        ("MONGO_URL", "mongodb+srv://cluster.example"),
        ("NATS_URL", "nats://user:p%2Fss@localhost,tls://[::1]:4222"),
        ("REDIS_URL", "unix:///run/redis.sock"),
        ("REDIS_URL", "rediss://:p%40ss@redis.example:6380/2"),
    ],
)
def test_an_address_is_kept_as_it_is(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(f"FANOUT_{variable}", value)
    assert getattr(load_settings(), variable.lower()) == value


def test_all_errors_are_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of(monkeypatch, LISTEN="x", PARTITIONS="y")
    assert [line.split(":")[0] for line in lines] == ["FANOUT_LISTEN", "FANOUT_PARTITIONS"]


@pytest.mark.parametrize(
    ("variables", "variable"),
    [
        ({"JWT_ALGORITHMS": "ES256"}, "JWKS_URL"),
        ({"JWKS_URL": "https://issuer.example/jwks"}, "JWT_ALGORITHMS"),
        ({**JWKS, "JWT_ALGORITHMS": "ES256", "JWT_AUDIENCE": ""}, "JWT_AUDIENCE"),
        ({**JWKS, "JWT_ALGORITHMS": "ES256", "JWT_ISSUER": ""}, "JWT_ISSUER"),
        ({"WS_LISTEN": "0.0.0.0:8081"}, "WS_URL"),
        ({"HEARTBEAT_S": "30", "HEARTBEAT_TIMEOUT_S": "30"}, "HEARTBEAT_TIMEOUT_S"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], variable: str
) -> None:
    (line,) = lines_of(monkeypatch, **variables)
    assert line.startswith(f"FANOUT_{variable}: ")


@pytest.mark.parametrize(("port", "warned"), [("8081", True), ("0", False)])
def test_one_address_for_both_servers_is_worth_a_warning(
    monkeypatch: pytest.MonkeyPatch, port: str, *, warned: bool
) -> None:
    monkeypatch.setenv("FANOUT_LISTEN", f"127.0.0.1:{port}")
    monkeypatch.setenv("FANOUT_WS_LISTEN", f"127.0.0.1:{port}")
    assert any("FANOUT_WS_LISTEN" in line for line in load_settings().warnings()) is warned


@pytest.mark.parametrize(
    ("listen", "reached"),
    [("0.0.0.0:1", "127.0.0.1:1"), (":1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("host.example:1", "host.example:1")],
)
def test_a_wildcard_is_reached_by_loopback(listen: str, reached: str) -> None:
    assert str(Address.parse(listen).from_here()) == reached


def test_no_secret_shows_in_a_repr_or_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANOUT_JWT_SECRET", "hunter2" * 5)
    monkeypatch.setenv("FANOUT_NATS_URL", "nats://user:hunter2@localhost")
    monkeypatch.setenv("FANOUT_REDIS_URL", "redis://:hunter2@localhost")
    assert "hunter2" not in repr(load_settings())
    lines = lines_of(monkeypatch, MONGO_URL="mongodb://u:hunter2@/h", NATS_URL="hunter2")
    assert "hunter2" not in "".join(lines)


def test_a_short_secret_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANOUT_JWT_SECRET", "short")
    (warning,) = load_settings().warnings()
    assert warning.startswith("FANOUT_JWT_SECRET")
    monkeypatch.setenv("FANOUT_JWT_SECRET", "x" * 32)
    assert load_settings().warnings() == []


def test_clients_are_told_the_port_that_is_bound_unless_a_url_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    bound = Address("::1", 4711)
    assert load_settings().public_ws_url(bound) == "ws://[::1]:4711/ws"
    monkeypatch.setenv("FANOUT_WS_URL", "wss://chat.example/ws")
    assert load_settings().public_ws_url(bound) == "wss://chat.example/ws"


@given(st.sampled_from(["::1", "127.0.0.1", "host.example"]), st.integers(0, 65_535))
def test_an_address_survives_its_text(host: str, port: int) -> None:
    assert Address.parse(str(Address(host, port))) == Address(host, port)


@given(st.text(max_size=20))
def test_a_text_is_an_address_or_refused(text: str) -> None:
    try:
        address = Address.parse(text)
    except ValueError:
        return
    assert 0 <= address.port <= 65_535
    assert re.search(r":[0-9]+\Z", text)


@pytest.mark.parametrize(("name", "value"), [("AUDIENCE", "any"), ("ISSUER", "any")])
def test_a_waived_audience_or_issuer_is_worth_a_warning(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    for variable, good in {**JWKS, "JWT_ALGORITHMS": "ES256"}.items():
        monkeypatch.setenv(f"FANOUT_{variable}", good)
    assert load_settings().warnings() == []
    monkeypatch.setenv(f"FANOUT_JWT_{name}", value)
    (line,) = load_settings().warnings()
    assert line.startswith(f"FANOUT_JWT_{name}: ")


def test_what_a_frame_and_sockets_may_be_by_default() -> None:
    settings = load_settings()
    assert settings.max_frame == settings.max_body == 655_360
    assert (settings.max_unauthenticated, settings.max_user_sockets) == (1_000, 32)
