"""The table of REST calls: the form of its rows."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Generic, Literal, NamedTuple, TypeVar

from fanout.api.common import Request
from fanout.error_codes import (
    BODY_TOO_LARGE,
    INVALID_REQUEST,
    MALFORMED_JSON,
    OUTCOME_UNKNOWN,
    RATE_LIMITED,
    TOKEN_ERRORS,
    UNAVAILABLE,
    ErrorCode,
)

PREFIX: Final = "/api/v1"
JSON: Final = "application/json"

Method = Literal["GET", "POST", "PUT", "DELETE"]
PortT = TypeVar("PortT")
RequestT = TypeVar("RequestT", bound=Request)

_OF_ALL: Final = (INVALID_REQUEST, *TOKEN_ERRORS.values(), RATE_LIMITED, UNAVAILABLE)
_OF_BODIES: Final = (MALFORMED_JSON, BODY_TOO_LARGE)


class Caller(NamedTuple):
    """The user who makes a call."""

    user_id: str
    correlation_id: str
    """The id of the request, for support."""


class WithStatus(NamedTuple):
    """A response whose status is not that of the row, but one of its `other_statuses`."""

    response: Any
    status: int
    reason: str = ""
    """The reason, for the log."""


@dataclass(frozen=True, kw_only=True)
class Call(Generic[PortT, RequestT]):
    """A row: everything that the gateway and the OpenAPI document need to know about a call."""

    name: str
    """Unique; also the path below `PREFIX`, unless `path` says another."""
    method: Method
    request: type[RequestT]
    """The type to which the body or, for a call without one, the query is decoded. Parts of the path are fields too."""
    response: Any
    """The type of the response, for the documents."""
    handler: Callable[[PortT, Caller, RequestT], Awaitable[Any]]
    """Calls the method of the service."""
    summary: str
    """The effect of the call, in a few words."""
    meaning: str
    """The meaning of the success status, for the documents."""
    description: str = ""
    """Further facts that a client needs to know."""
    errors: tuple[ErrorCode, ...] = ()
    """The errors that only this call has, beside those of all calls."""
    status: int = 200
    """The HTTP status of a success."""
    other_statuses: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    """The meaning of each status that a `WithStatus` may have."""
    path: str = ""
    """The whole path if it does not follow from the name; a part in braces, as `{channel_id}`, is a field."""
    media_type: str = JSON
    """The media type of the response. A response of bytes is sent unchanged."""
    max_body: int | None = None
    """The most bytes of a body, if the call takes less than the deployment does."""
    public: bool = False
    """Whether the call needs no token, counts for no rate limit, and takes any query."""

    @property
    def route(self) -> str:
        """The path, with its parts in braces."""
        return self.path or f"{PREFIX}/{self.name}"

    @property
    def takes_body(self) -> bool:
        """Whether the request is in the body."""
        return self.method in {"POST", "PUT"}

    @property
    def tag(self) -> str:
        """The group of calls that this one belongs to in the documents."""
        return "operations" if self.public else self.name.partition(".")[0]

    @property
    def all_errors(self) -> tuple[ErrorCode, ...]:
        """Every error that the call can give, by status."""
        if self.public:
            return self.errors
        # Of a call that only reads, nothing can have been done.
        changing = () if self.method == "GET" else (OUTCOME_UNKNOWN,)
        bodies = _OF_BODIES if self.takes_body else ()
        return tuple(sorted((*_OF_ALL, *bodies, *self.errors, *changing), key=lambda error: error.status or 0))


@dataclass(frozen=True, slots=True)
class ServedCall:
    """A row, with the service that handles its requests."""

    call: Call[Any, Any]
    port: Any


def served(calls: Iterable[Call[PortT, Any]], port: PortT) -> tuple[ServedCall, ...]:
    """Rows of a resource, handled by a service.

    Args:
        calls: the rows.
        port: the service.
    """
    return tuple(ServedCall(call, port) for call in calls)
