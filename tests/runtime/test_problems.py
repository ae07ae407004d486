"""What a client is told of an error."""

import pytest

from fanout.error_codes import BODY_TOO_LARGE, NOT_A_MEMBER, RATE_LIMITED, UNAVAILABLE, WRONG_DEVICE
from fanout.errors import (
    CallRejected,
    ChannelExists,
    ChannelNotFound,
    FanoutError,
    InvalidEvent,
    InvalidId,
    OutcomeUnknown,
    StorageFull,
    TooLarge,
    Unavailable,
)
from fanout.ports.authenticator import TokenRefused
from services.runtime.problems import Problem, problem_of

SECRET = "nats://user:password@10.0.0.1"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidId(SECRET), 400, "invalid_request"),
        (CallRejected(NOT_A_MEMBER, SECRET), 403, "not_a_member"),
        (TokenRefused("token_key", SECRET), 401, "token_key"),
        (ChannelNotFound(SECRET), 404, "channel_not_found"),
        (ChannelExists(SECRET), 409, "channel_exists"),
        (TooLarge(SECRET), 413, "message_too_large"),
        (Unavailable(SECRET), 503, "unavailable"),
        (StorageFull(SECRET), 503, "unavailable"),
        (OutcomeUnknown(SECRET), 503, "outcome_unknown"),
        (Problem(BODY_TOO_LARGE, SECRET), 413, "body_too_large"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_expected_error(error: FanoutError, status: int, code: str) -> None:
    """The text of an exception that was not made for clients stays inside."""
    problem = problem_of(error)
    assert problem is not None
    details = problem.details("corr-1")
    assert (details.status, details.code, details.correlation_id) == (status, code, "corr-1")
    assert details.type == f"urn:fanout:problem:{code}"
    told = isinstance(error, InvalidId | CallRejected | TokenRefused | Problem)
    assert details.detail == (SECRET if told else problem.error_code.text)


@pytest.mark.parametrize("error", [KeyError("x"), FanoutError("x"), InvalidEvent("x")], ids=lambda e: type(e).__name__)
def test_an_unexpected_error_is_none(error: Exception) -> None:
    assert problem_of(error) is None


def test_a_call_that_only_reads_has_done_nothing() -> None:
    problem = problem_of(OutcomeUnknown("x"), safe=True)
    assert problem is not None
    assert problem.error_code is UNAVAILABLE


@pytest.mark.parametrize(
    ("problem", "headers"),
    [
        (problem_of(TokenRefused("token_missing")), {"WWW-Authenticate": "Bearer"}),
        (problem_of(TokenRefused("token_user")), {"WWW-Authenticate": 'Bearer error="invalid_token"'}),
        (problem_of(Unavailable("x")), {"Retry-After": "1"}),
        (Problem(RATE_LIMITED, headers={"Retry-After": "7"}), {"Retry-After": "7"}),
        (problem_of(CallRejected(NOT_A_MEMBER)), {}),
    ],
)
def test_headers(problem: Problem, headers: dict[str, str]) -> None:
    assert problem.headers == headers


def test_an_error_of_the_websocket_alone_is_no_answer_to_a_call() -> None:
    assert Problem(WRONG_DEVICE).status == 500
