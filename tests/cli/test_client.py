"""`fanout token` and `fanout send`, as they are typed."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from services.cli import client
from services.runtime.tokens import TokenVerifier, embedded_secret, sign

SECRET = "a-secret-that-is-long-enough-for-hs256"


@pytest.fixture(autouse=True)
def _own_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("FANOUT_JWT_SECRET", "FANOUT_DATA_DIR", "FANOUT_URL", "FANOUT_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def fanout(*arguments: str) -> Result:
    app = typer.Typer(pretty_exceptions_enable=False)
    for command in (client.token, client.send, client.listen):
        app.command()(command)
    return CliRunner().invoke(app, arguments)


def failed(result: Result) -> str:
    """What a failed command said, after it was checked that it failed in words."""
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert isinstance(result.exception, SystemExit)
    return " ".join(result.stderr.split())


class FakeGateway:
    def __init__(self) -> None:
        self.status = 202
        self.answer: Any = {"message_id": "msg_1", "correlation_id": "c"}
        self.requests: list[tuple[str, str, Any]] = []


@pytest.fixture
def gateway() -> Iterator[tuple[FakeGateway, str]]:
    fake = FakeGateway()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fake.requests.append((self.path, self.headers["Authorization"], body))
            answer = fake.answer if isinstance(fake.answer, bytes) else json.dumps(fake.answer).encode()
            self.send_response(fake.status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield fake, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def test_a_token_by_the_configured_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANOUT_JWT_SECRET", SECRET)
    result = fanout("token", "alice", "--ttl", "60")
    identity = await TokenVerifier(("HS256",), secret=SECRET).verify(result.stdout.strip())
    assert identity.user_id == "alice"


async def test_a_token_by_the_embedded_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = embedded_secret(tmp_path / "there")
    monkeypatch.setenv("FANOUT_DATA_DIR", str(tmp_path / "there"))
    token = fanout("token", "alice").stdout.strip()
    assert (await TokenVerifier(("HS256",), secret=secret).verify(token)).user_id == "alice"


def test_no_secret_is_said_and_none_is_made(tmp_path: Path) -> None:
    said = failed(fanout("token", "alice"))
    assert "FANOUT_JWT_SECRET" in said
    assert "FANOUT_DATA_DIR" in said
    assert list(tmp_path.iterdir()) == []


def test_settings_that_are_wrong_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANOUT_LISTEN", "nonsense")
    assert "FANOUT_LISTEN" in failed(fanout("token", "alice"))


def test_a_user_that_is_no_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANOUT_JWT_SECRET", SECRET)
    assert "characters" in failed(fanout("token", "a b"))


def test_sending(gateway: tuple[FakeGateway, str]) -> None:
    fake, url = gateway
    result = fanout("send", "general", "hello", "--as", "alice", "--url", url, "--token", "t")
    assert (result.exit_code, result.stdout) == (0, "msg_1\n")
    ((path, authorization, body),) = fake.requests
    assert (path, authorization) == ("/api/v1/chat.sendMessage", "Bearer t")
    assert (body["channel"], body["text"], bool(body["client_msg_id"])) == ("general", "hello", True)


def test_replying(gateway: tuple[FakeGateway, str]) -> None:
    fake, url = gateway
    arguments = ("send", "general", "hello", "--as", "alice", "--url", url, "--token", "t", "--thread")
    assert fanout(*arguments, "msg_0").exit_code == 0
    assert fanout(*arguments, "a.b").exit_code == 1
    ((_, _, body),) = fake.requests
    assert body["thread_id"] == "msg_0"


def test_a_problem_is_shown_in_its_words(gateway: tuple[FakeGateway, str]) -> None:
    fake, url = gateway
    fake.status = 403
    fake.answer = {"status": 403, "code": "not_a_member", "detail": "you are not a member [of this]"}
    said = failed(fanout("send", "general", "hello", "--as", "alice", "--url", url, "--token", "t"))
    assert said == "fanout: you are not a member [of this] (403 not_a_member)"


def test_a_token_signed_with_another_secret_is_said_with_the_remedy(gateway: tuple[FakeGateway, str]) -> None:
    fake, url = gateway
    fake.status = 401
    fake.answer = {
        "status": 401,
        "code": "token_signature",
        "detail": "the token is missing, not valid, or has expired",
    }
    said = failed(fanout("send", "general", "hello", "--as", "alice", "--url", url, "--token", "t"))
    assert "signed with another secret" in said
    assert "FANOUT_JWT_SECRET" in said
    assert said.endswith("(401 token_signature)")


@pytest.mark.parametrize("command", [("send", "general", "hello", "--as", "alice"), ("listen", "alice")])
def test_a_token_of_somebody_else(command: tuple[str, ...]) -> None:
    said = failed(fanout(*command, "--url", "http://127.0.0.1:1", "--token", sign(SECRET, "bob", 60)))
    assert said.startswith("fanout: the token is of bob, not of alice")


def test_a_token_of_the_same_user_is_used(gateway: tuple[FakeGateway, str]) -> None:
    fake, url = gateway
    token = sign(SECRET, "alice", 60)
    assert fanout("send", "general", "hello", "--as", "alice", "--url", url, "--token", token).exit_code == 0
    assert fake.requests[0][1] == f"Bearer {token}"


def test_a_channel_that_is_no_id_is_not_sent(gateway: tuple[FakeGateway, str]) -> None:
    fake, url = gateway
    said = failed(fanout("send", "bad channel", "hello", "--as", "alice", "--url", url, "--token", "t"))
    assert said.startswith("fanout: the channel id must be 1 to 128 characters of A-Z")
    assert fake.requests == []


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b""])
def test_a_server_that_is_no_gateway(gateway: tuple[FakeGateway, str], answer: bytes) -> None:
    fake, url = gateway
    fake.answer = answer
    said = failed(fanout("send", "general", "hello", "--as", "alice", "--url", url, "--token", "t"))
    assert "not from a Fanout gateway" in said


@pytest.mark.parametrize("command", [("send", "general", "hello", "--as", "alice"), ("listen", "alice")])
def test_a_gateway_that_is_not_there(command: tuple[str, ...]) -> None:
    said = failed(fanout(*command, "--url", "http://127.0.0.1:1", "--token", "t"))
    assert said.startswith("fanout: http://127.0.0.1:1 cannot be reached")


@pytest.mark.parametrize("url", ["nonsense", "http://[::", "http://127.0.0.1:99999", "ftp://host", "http://"])
def test_an_address_that_is_none(url: str) -> None:
    said = failed(fanout("listen", "alice", "--url", url, "--token", "t"))
    assert f"{url} is not an address" in said or f"{url} is not the address of a gateway" in said


@pytest.mark.parametrize("token", ["é", "a\nb"])
def test_a_token_that_fits_no_header(token: str) -> None:
    failed(fanout("send", "general", "x", "--as", "alice", "--url", "http://127.0.0.1:1", "--token", token))
