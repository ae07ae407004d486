"""What follows from a row."""

from typing import Any

import pytest

from fanout.api.calls import Call, Method, served
from fanout.api.common import NoFields
from fanout.error_codes import CHANNEL_EXISTS


async def handler(_port: Any, _caller: Any, _request: Any) -> NoFields:
    raise AssertionError


def row(method: Method = "POST", **more: Any) -> Call[Any, Any]:
    return Call[Any, NoFields](
        name="channels.create",
        method=method,
        request=NoFields,
        response=NoFields,
        handler=handler,
        summary="",
        meaning="",
        **more,
    )


def test_the_path_follows_from_the_name_or_is_said() -> None:
    assert row().route == "/api/v1/channels.create"
    assert row(path="/api/v1/channels/{channel_id}/draft").route == "/api/v1/channels/{channel_id}/draft"


def test_a_call_is_in_the_group_of_its_resource() -> None:
    assert (row().tag, row(public=True).tag) == ("channels", "operations")


@pytest.mark.parametrize(
    ("method", "body", "changing"),
    [("GET", False, False), ("POST", True, True), ("PUT", True, True), ("DELETE", False, True)],
)
def test_errors_follow_from_the_method(method: Method, *, body: bool, changing: bool) -> None:
    call = row(method, errors=(CHANNEL_EXISTS,))
    codes = {error.code for error in call.all_errors}
    assert {"invalid_request", "token_missing", "rate_limited", "unavailable", "channel_exists"} <= codes
    assert call.takes_body is ("malformed_json" in codes) is ("body_too_large" in codes) is body
    assert ("outcome_unknown" in codes) is changing
    statuses = [error.status or 0 for error in call.all_errors]
    assert statuses == sorted(statuses)


def test_a_public_call_has_its_own_errors_alone() -> None:
    assert row(public=True, errors=(CHANNEL_EXISTS,)).all_errors == (CHANNEL_EXISTS,)


def test_the_rows_of_a_resource_have_one_service() -> None:
    assert [(each.call.method, each.port) for each in served([row("GET"), row()], "port")] == [
        ("GET", "port"),
        ("POST", "port"),
    ]
