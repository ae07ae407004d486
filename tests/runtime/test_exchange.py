"""A request's headers and body, and a response as the server gets it."""

from typing import Any

import pytest

from fanout.error_codes import BODY_TOO_LARGE, DISCONNECTED
from services.runtime.exchange import Exchange, Response, send_response
from services.runtime.problems import Problem


def exchange(*messages: Any, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Exchange:
    waiting = list(messages)

    async def receive() -> Any:
        return waiting.pop(0)

    scope = {"method": "POST", "path": "/", "query_string": b"", "headers": list(headers)}
    return Exchange(scope, receive, "corr-1")


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_in_parts_is_one() -> None:
    assert await exchange(part(b"ab", more=True), part(b"", more=True), part(b"c")).body(3) == b"abc"
    assert await exchange({"type": "http.request"}).body(3) == b""


async def test_a_body_beyond_the_limit_is_not_read_to_its_end() -> None:
    endless = [part(b"ab", more=True) for _ in range(100)]
    for asked in (exchange(*endless), exchange(headers=((b"content-length", b"4"),))):
        with pytest.raises(Problem) as caught:
            await asked.body(3)
        assert caught.value.error_code is BODY_TOO_LARGE


@pytest.mark.parametrize("declared", [b"", b"-1", b"x", b"3"])
async def test_a_declared_length_is_no_more_than_a_hint(declared: bytes) -> None:
    assert await exchange(part(b"abc"), headers=((b"content-length", declared),)).body(3) == b"abc"


async def test_a_client_that_goes_away_in_the_middle() -> None:
    with pytest.raises(Problem) as caught:
        await exchange(part(b"ab", more=True), {"type": "http.disconnect"}).body(100)
    assert caught.value.error_code is DISCONNECTED


def test_of_a_header_that_is_repeated_the_first_counts() -> None:
    asked = exchange(headers=((b"a", b"1"), (b"b", b"\xe9"), (b"a", b"2")))
    assert (asked.header(b"a"), asked.header(b"b"), asked.header(b"c")) == ("1", "é", None)


async def test_a_response_has_its_length_and_type_where_it_has_a_body() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await send_response(send, Response(200, b"abc", b"text/plain", ((b"x", b"1"),)), (b"y", b"2"))
    await send_response(send, Response(204))
    start, body, empty, nothing = sent
    assert start["headers"] == [(b"x", b"1"), (b"y", b"2"), (b"content-type", b"text/plain"), (b"content-length", b"3")]
    assert (start["status"], body["body"]) == (200, b"abc")
    assert (empty["status"], empty["headers"], nothing["body"]) == (204, [], b"")
