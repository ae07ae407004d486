"""Problems: errors as RFC 9457 `application/problem+json`, with a stable `code` and the correlation id."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from fanout.error_codes import INTERNAL, TOKEN_MISSING, UNAVAILABLE, ErrorCode
from fanout.errors import CallRejected, FanoutError, OutcomeUnknown

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
    """An error as a client gets it.

    Args:
        error_code: what is wrong.
        detail: the same for people, nothing secret; by default the text of the code.
        headers: of the response.
        more: further members of the body, RFC 9457 section 3.2.

    Attributes:
        status: of the response.
        headers: of the response.
    """

    error_code: ErrorCode
    public_text = True

    def __init__(
        self,
        error_code: ErrorCode,
        detail: str | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        more: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail or error_code.text)
        self.error_code = error_code
        self.status = error_code.status or INTERNAL.status or 0
        self.headers = {**_headers(error_code), **(headers or {})}
        self._more = more or {}

    def body(self, correlation_id: str) -> bytes:
        """The body as JSON: the details, and further members."""
        details = msgspec.to_builtins(self.details(correlation_id))
        return msgspec.json.encode({**details, **self._more})

    def details(self, correlation_id: str) -> ProblemDetails:
        """The body. The type is a URN of the code: it identifies the error, and needs no host."""
        code = self.error_code.code
        title = HTTPStatus(self.status).phrase
        return ProblemDetails(f"urn:fanout:problem:{code}", title, self.status, code, correlation_id, str(self))


def problem_of(error: Exception, *, safe: bool = False) -> Problem | None:
    """The problem that a client gets for an expected error; None for an unexpected one.

    Args:
        error: what was raised.
        safe: whether the call only reads (RFC 9110, section 9.2.1): then nothing can have been done.
    """
    if isinstance(error, Problem):
        return error
    if not isinstance(error, FanoutError) or error.error_code is None:
        return None
    error_code = UNAVAILABLE if safe and isinstance(error, OutcomeUnknown) else error.error_code
    more = error.more if isinstance(error, CallRejected) else None
    return Problem(error_code, str(error) if error.public_text else None, more=more)


def _headers(error_code: ErrorCode) -> dict[str, str]:
    if error_code is TOKEN_MISSING:
        return {"WWW-Authenticate": "Bearer"}
    if error_code.status == HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": 'Bearer error="invalid_token"'}  # RFC 6750, section 3.1
    if error_code.status == HTTPStatus.SERVICE_UNAVAILABLE:
        return {"Retry-After": str(RETRY_AFTER_S)}
    return {}
