"""Whom the connection speaks to, and as whom: credentials and encryption."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlparse

import pytest
from nats.aio.client import Srv

from fanout.errors import Unavailable
from services.adapters.nats import connect
from tests.support.certificates import Authority
from tests.support.nats import connected, connected_again
from tests.support.reading import soon, until
from tests.support.servers import ConfiguredNats, NatsServer, free_port


def _with_password(server: NatsServer, userinfo: str) -> str:
    return server.url.replace("://", f"://{userinfo}@")


@pytest.fixture
def guarded_nats(tmp_path: Path) -> Iterator[Callable[[str], ConfiguredNats]]:
    """Starts a server with an `authorization` of its own."""
    server = ConfiguredNats(tmp_path / "nats")

    def start(authorization: str) -> ConfiguredNats:
        server.config = f"authorization {{ {authorization} }}\n"
        server.start()
        return server

    yield start
    server.close()


class TestCredentials:
    @pytest.mark.parametrize("password", ["plain", "p@ss", "pa/ss#w?rd", "100%sure", "p:w", "a+b", "ü-ber", "a,b c"])
    async def test_a_user_and_a_password_are_percent_decoded(
        self, guarded_nats: Callable[[str], ConfiguredNats], password: str
    ) -> None:
        server = guarded_nats(f'user: "f/n", password: {json.dumps(password, ensure_ascii=False)}')
        async with connected(_with_password(server, f"f%2Fn:{quote(password, safe='')}")) as nc:
            await nc.ping()

    async def test_a_token_is_percent_decoded(self, guarded_nats: Callable[[str], ConfiguredNats]) -> None:
        server = guarded_nats('token: "s@cr/et"')
        async with connected(_with_password(server, quote("s@cr/et", safe=""))) as nc:
            await nc.ping()

    async def test_each_of_several_servers_has_its_own(
        self, guarded_nats: Callable[[str], ConfiguredNats], nats_url: str
    ) -> None:
        server = guarded_nats('user: "fan", password: "p@ss"')
        gone = f"nats://other:secret@127.0.0.1:{free_port()}"
        async with connected(f"{gone}, {_with_password(server, 'fan:p%40ss')}") as nc:
            await nc.ping()

    async def test_they_are_sent_again_after_an_outage(self, guarded_nats: Callable[[str], ConfiguredNats]) -> None:
        server = guarded_nats('user: "fan", password: "p@ss"')
        async with connected(_with_password(server, "fan:p%40ss")) as nc:
            await asyncio.to_thread(server.restart)
            await connected_again(nc)

    async def test_a_server_that_another_told_of_gets_them_too(
        self, guarded_nats: Callable[[str], ConfiguredNats]
    ) -> None:
        server = guarded_nats('user: "fan", password: "p@ss"')
        async with connected(_with_password(server, "fan:p%40ss")) as nc:
            nc._server_pool = [Srv(urlparse(server.url))]  # as the server's INFO has it
            await asyncio.to_thread(server.restart)
            await connected_again(nc)

    async def test_an_error_does_not_quote_them(self, guarded_nats: Callable[[str], ConfiguredNats]) -> None:
        server = guarded_nats('user: "fan", password: "right"')
        with pytest.raises(Unavailable, match="Authorization Violation") as caught:
            await soon(connect(_with_password(server, "fan:wr%6Fng"), name="test"))
        assert "wrong" not in str(caught.value)
        assert "wr%6Fng" not in str(caught.value)


class TestEncryption:
    @pytest.fixture
    def secured(self, tmp_path: Path) -> Iterator[ConfiguredNats]:
        server = ConfiguredNats(tmp_path / "nats")
        server.config = Authority(tmp_path).issue("localhost", "127.0.0.1").as_nats_config()
        server.start()
        yield server
        server.close()

    @pytest.mark.parametrize("scheme", ["tls", "nats"])
    async def test_an_untrusted_certificate_is_named_with_the_remedy(
        self, secured: ConfiguredNats, scheme: str
    ) -> None:
        url = secured.url.replace("nats://", f"{scheme}://")
        with pytest.raises(Unavailable, match=r"its certificate is not trusted: .*SSL_CERT_FILE"):
            await soon(connect(url, name="test"))

    async def test_a_ca_in_the_file_of_openssl_is_trusted(
        self, secured: ConfiguredNats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        async with connected(secured.url.replace("nats://", "tls://")) as nc:
            await nc.ping()

    async def test_a_certificate_of_another_host_is_no_matter_of_the_ca(
        self, secured: ConfiguredNats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        secured.config = Authority(tmp_path).issue("elsewhere.example").as_nats_config()
        await asyncio.to_thread(secured.restart)
        with pytest.raises(Unavailable, match="not trusted: IP address mismatch") as caught:
            await soon(connect(secured.url.replace("nats://", "tls://"), name="test"))
        assert "SSL_CERT_FILE" not in str(caught.value)

    async def test_one_that_is_no_longer_trusted_after_an_outage_is_told_and_sat_out(
        self, secured: ConfiguredNats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trusted = secured.config
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        async with connected(secured.url) as nc:
            (tmp_path / "other").mkdir()
            secured.config = Authority(tmp_path / "other").issue("127.0.0.1").as_nats_config()
            await asyncio.to_thread(secured.restart)

            async def told() -> bool | None:
                return True if any("is not trusted" in reason for reason in nc.troubles) else None

            await until(told)
            secured.config = trusted
            await asyncio.to_thread(secured.restart)
            await connected_again(nc)

    async def test_a_connection_that_must_be_encrypted_is_never_in_the_clear(self, nats_url: str) -> None:
        with pytest.raises(Unavailable, match="offers no TLS"):
            await soon(connect(nats_url.replace("nats://", "tls://someone:secret@"), name="test"))
