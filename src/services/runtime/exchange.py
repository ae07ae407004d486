"""An HTTP request as the application sees it, and the response that answers it, on top of ASGI."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, NamedTuple

from fanout.error_codes import BODY_TOO_LARGE, DISCONNECTED
from services.runtime.problems import Problem

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

Headers = tuple[tuple[bytes, bytes], ...]

_LATIN: Final = "latin-1"
"""The encoding of header fields, RFC 9110, section 5.5."""


class Response(NamedTuple):
    """A whole response."""

    status: int
    body: bytes = b""
    media_type: bytes = b""
    """Empty where there is no body."""
    headers: Headers = ()
    """The other headers, their names in lower case."""


class Exchange:
    """One request, with notes about it for the log.

    Args:
        scope: of ASGI.
        receive: of ASGI.
        correlation_id: names the request in logs and responses.
    """

    __slots__ = ("_headers", "_receive", "correlation_id", "method", "path", "query", "reason", "route", "user_id")

    def __init__(self, scope: Scope, receive: Receive, correlation_id: str) -> None:
        self._headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))  # of repeated ones, the first
        self._receive = receive
        self.correlation_id = correlation_id
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        """With escapes decoded."""
        self.query: bytes = scope["query_string"]
        self.route = ""
        """The path of the route, with its parts in braces; empty where there is none."""
        self.user_id: str | None = None
        """Who makes the request, once that is known."""
        self.reason = ""
        """The reason of a 503."""

    @property
    def is_safe(self) -> bool:
        """Whether the request only reads; RFC 9110, section 9.2.1."""
        return self.method in {"GET", "HEAD"}

    def header(self, name: bytes) -> str | None:
        """A header of the request; None where it was not sent.

        Args:
            name: in lower case.
        """
        value = self._headers.get(name)
        return None if value is None else value.decode(_LATIN)

    async def body(self, limit: int) -> bytes:
        """The whole body.

        Args:
            limit: bytes.

        Raises:
            Problem: it is larger than the limit, or the client went away.
        """
        if _length(self._headers.get(b"content-length")) > limit:
            raise Problem(BODY_TOO_LARGE)
        body, more = b"", True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Problem(DISCONNECTED)
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > limit:
                raise Problem(BODY_TOO_LARGE)
        return body


async def send_response(send: Send, response: Response, *more: tuple[bytes, bytes]) -> None:
    """Send a response to the client. The server leaves out the body where the request is a HEAD.

    Args:
        send: of ASGI.
        response: to send.
        more: headers beside those of the response.
    """
    headers = [*response.headers, *more]
    if response.media_type:
        headers += ((b"content-type", response.media_type), (b"content-length", b"%d" % len(response.body)))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


def _length(declared: bytes | None) -> int:
    return int(declared) if declared is not None and declared.isdigit() else 0
