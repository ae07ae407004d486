"""What is said of a certificate that is not trusted, whichever library met it."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fanout.errors import Unavailable
from services.adapters.redis.client import make_client, opening
from services.runtime.certificates import untrusted
from tests.support.certificates import Authority


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """Of a server that says nothing once its certificate was taken."""
    issued = Authority(tmp_path).issue("127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(issued.certificate, issued.key)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"rediss://:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def ping(url: str) -> str:
    """What is said of the server instead of an answer."""
    client = make_client(url)
    try:
        with pytest.raises(Unavailable) as caught, opening(url):
            await client.ping()
    finally:
        await client.aclose()
    return str(caught.value)


async def test_redis_behind_an_untrusted_certificate_is_told_with_the_remedy(url: str) -> None:
    said = await ping(url)
    assert "its certificate is not trusted: " in said
    assert said.endswith("name the file in SSL_CERT_FILE")
    assert "secret" not in said


async def test_redis_behind_a_certificate_of_a_known_authority_is_none_of_it(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert "certificate" not in await ping(url)


@pytest.mark.parametrize("error", [None, ValueError("other"), ssl.SSLError("other")])
def test_another_error_is_not_about_a_certificate(error: BaseException | None) -> None:
    assert untrusted(error) is None
