"""Requests with parts in their path; test_api.py and test_wording.py have bodies and queries."""

from typing import Any

import msgspec
import pytest

from fanout.api.calls import Call
from fanout.api.common import Id, NoFields, Request
from fanout.errors import CallRejected
from services.gateway.requests import reading, request_of_body, request_of_query
from services.runtime.problems import Problem
from tests.runtime.test_exchange import exchange, part


class Draft(Request, frozen=True):
    channel_id: Id
    text: str = ""
    pinned: bool = False


DECODER = msgspec.json.Decoder(Draft)
PATH = {"channel_id": "c1"}


async def handler(_port: Any, _caller: Any, _request: Any) -> NoFields:
    raise AssertionError


def test_a_part_of_the_path_is_a_field() -> None:
    assert request_of_body(b'{"text": "hello", "pinned": true}', PATH, DECODER) == Draft("c1", "hello", pinned=True)
    assert request_of_query(b"text=hello&pinned=true", PATH, Draft) == Draft("c1", "hello", pinned=True)


@pytest.mark.parametrize(
    ("body", "parts", "detail"),
    [
        (b'{"channel_id": "c2"}', PATH, "channel_id is in the path; leave it out of the body"),
        (b'{"pinned": "true"}', PATH, "pinned must be true or false"),
        (b'{"colour": 1}', PATH, "unknown field 'colour'"),
        (b"[]", PATH, "the body must be a JSON object"),
        (b"{}", {"channel_id": "a.b"}, "channel_id must be 1 to 128 characters of A-Z, a-z, 0-9, '_' or '-'"),
        (b"{", PATH, "the body is not JSON that this server reads"),
    ],
)
def test_a_body_beside_it_is_as_strict_as_any(body: bytes, parts: dict[str, str], detail: str) -> None:
    with pytest.raises(CallRejected) as caught:
        request_of_body(body, parts, DECODER)
    assert str(caught.value) == detail


def test_a_query_may_not_say_it_again() -> None:
    with pytest.raises(CallRejected, match="give each parameter once"):
        request_of_query(b"channel_id=c2", PATH, Draft)


@pytest.mark.parametrize(("limit", "taken"), [(None, True), (10, False), (1_000, True)])
async def test_a_row_may_take_less_than_the_deployment_and_never_more(limit: int | None, taken: bool) -> None:  # noqa: FBT001
    call = Call[Any, Draft](
        name="x",
        method="PUT",
        request=Draft,
        response=NoFields,
        handler=handler,
        summary="",
        meaning="",
        max_body=limit,
    )
    body = b'{"text": "hello"}'
    if taken:
        assert await reading(call, 100)(exchange(part(body)), PATH) == Draft("c1", "hello")
    else:
        with pytest.raises(Problem):
            await reading(call, 100)(exchange(part(body)), PATH)
    with pytest.raises(Problem):
        await reading(call, 10)(exchange(part(body)), PATH)
