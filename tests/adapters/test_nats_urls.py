"""Credentials in URLs of NATS servers: percent-decoded, and never quoted."""

from urllib.parse import urlparse

import pytest

from services.adapters.nats.urls import credentials_of, without_credentials


@pytest.mark.parametrize(
    ("url", "credentials"),
    [
        ("nats://host:4222", {}),
        ("nats://a%2Fb:p%40ss@host", {"user": "a/b", "password": "p@ss", "token": None}),
        ("nats://user:@host", {"user": "user", "password": "", "token": None}),
        ("nats://s%40cret@host", {"user": None, "password": None, "token": "s@cret"}),
    ],
)
def test_credentials_are_those_before_the_host(url: str, credentials: dict[str, str | None]) -> None:
    assert credentials_of(urlparse(url)) == credentials


@pytest.mark.parametrize(
    ("urls", "shown"),
    [
        ("nats://host:4222", "nats://host:4222"),
        ("nats://user:p%40ss@host:4222/", "nats://host:4222/"),
        ("nats://token@one,tls://user:secret@two:4443", "nats://one,tls://two:4443"),
    ],
)
def test_urls_are_shown_without_credentials(urls: str, shown: str) -> None:
    assert without_credentials(urls) == shown
