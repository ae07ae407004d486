"""Problems: errors as RFC 9457 `application/problem+json`, with a stable `code` and the correlation id."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from fanout.api import Forbidden, InvalidRequest, NoInstance
from fanout.errors import (
    ChannelExists,
    ChannelNotFound,
    FanoutError,
    InvalidId,
    OutcomeUnknown,
    TooLarge,
    Unavailable,
)
from fanout.ports.authenticator import TokenRefused

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1


class ProblemDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every error, RFC 9457."""

    type: Annotated[str, Meta(description="A URN of the code.", extra_json_schema={"format": "uri"})]
    title: Annotated[str, Meta(description="The status, in words.")]
    status: Annotated[int, Meta(description="The HTTP status.")]
    code: Annotated[str, Meta(description="What is wrong, for programs; it is stable.")]
    correlation_id: Annotated[str, Meta(description="The request's, for support.")]
    detail: Annotated[str, Meta(description="What is wrong, for people.")] | None = None


class Problem(FanoutError):  # noqa: N818 - as the tree in `fanout.errors`
    """An error on its way to a client.

    Args:
        status: the HTTP status.
        code: stable, for programs.
        detail: for people; nothing secret.
        headers: of the response.
    """

    def __init__(
        self, status: int, code: str, detail: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.status = int(status)
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        super().__init__(detail or code)

    def details(self, correlation_id: str) -> ProblemDetails:
        """The body. The type is a URN of the code: it identifies, and needs no host to stand behind it."""
        title = HTTPStatus(self.status).phrase
        return ProblemDetails(
            f"urn:fanout:problem:{self.code}", title, self.status, self.code, correlation_id, self.detail
        )


def unauthorized(code: str, detail: str) -> Problem:
    """A refused token, with the challenge of RFC 6750."""
    challenge = "Bearer" if code == "token_missing" else 'Bearer error="invalid_token"'
    return Problem(HTTPStatus.UNAUTHORIZED, code, detail, {"WWW-Authenticate": challenge})


def _unavailable(detail: str, code: str = "unavailable") -> Problem:
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, code, detail, {"Retry-After": str(RETRY_AFTER_S)})


_PROBLEMS: Final[dict[type[FanoutError], Callable[[Any], Problem]]] = {
    Problem: lambda error: error,
    InvalidRequest: lambda error: Problem(HTTPStatus.BAD_REQUEST, error.code, error.detail),
    InvalidId: lambda error: Problem(HTTPStatus.BAD_REQUEST, "invalid_request", str(error)),
    TokenRefused: lambda error: unauthorized(error.code, str(error)),
    Forbidden: lambda error: Problem(HTTPStatus.FORBIDDEN, error.code, error.detail),
    ChannelNotFound: lambda _: Problem(HTTPStatus.NOT_FOUND, "channel_not_found", "there is no such channel"),
    ChannelExists: lambda _: Problem(HTTPStatus.CONFLICT, "channel_exists", "a channel of that id exists"),
    TooLarge: lambda _: Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "message_too_large",
        "the message is too long for this deployment",
    ),
    NoInstance: lambda error: _unavailable(str(error)),
    OutcomeUnknown: lambda _: _unavailable(
        "a service that this needs gave no answer; the call may have been done. Repeating it is safe: a message is "
        "sent once where the repeat has the same client_msg_id",
        "outcome_unknown",
    ),
    Unavailable: lambda _: _unavailable(
        "a service that this needs cannot be reached; repeating the call is safe, try again"
    ),
}


def problem_of(error: Exception, *, safe: bool = False) -> Problem | None:
    """The problem that an expected error is to a client; None for an unexpected one.

    The texts of `Unavailable` stay inside: they may name hosts.

    Args:
        error: what was raised.
        safe: whether the call only reads (RFC 9110, section 9.2.1): then nothing can have been done.
    """
    if safe and isinstance(error, OutcomeUnknown):
        error = Unavailable()
    for kind in type(error).__mro__:
        if kind in _PROBLEMS:
            return _PROBLEMS[kind](error)
    return None
