"""The answer of `realtime.connect`, whatever it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout.client import Closing
from fanout.client.realtime_connect import address_in


def test_an_address() -> None:
    assert address_in(200, None, b'{"url":"ws://notif-1/ws"}') == "ws://notif-1/ws"


def test_a_refused_token() -> None:
    closing = address_in(401, None, b'{"code":"token_expired","detail":"the token has expired"}')
    assert closing == Closing(4401, "token_expired: the token has expired")
    assert closing.refuses_token(was_open=False)


@pytest.mark.parametrize(
    ("retry_after", "after_s"),
    [("3", 3.0), (None, None), ("soon", None), ("\N{SUPERSCRIPT TWO}", None), ("1" * 99, None)],
)
def test_a_gateway_that_says_when_to_come_again(retry_after: str | None, after_s: float | None) -> None:
    closing = address_in(503, retry_after, b'{"code":"unavailable","detail":"no instance has room"}')
    assert isinstance(closing, Closing)
    assert (closing.text, closing.retry_after_s) == ("no instance has room (503 unavailable)", after_s)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"url":7}', b'{"url":"http://x"}', b"[" * 99_999])
def test_another_server(body: bytes) -> None:
    closing = address_in(200, None, body)
    assert closing == Closing(None, "the answer to realtime.connect (status 200) is not from a Fanout gateway")


@given(st.integers(100, 599), st.none() | st.text(), st.binary())
def test_nothing_is_raised(status: int, retry_after: str | None, body: bytes) -> None:
    assert isinstance(address_in(status, retry_after, body), str | Closing)
