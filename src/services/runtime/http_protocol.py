"""HTTP/1.1 by uvicorn, with the bounds that it leaves to whoever stands before it.

A request takes memory from its first byte on, and before anything of it is authenticated: its head, and the trailers
of a chunked body, may neither be endless nor endlessly slow.
"""

import asyncio
from http import HTTPStatus
from typing import Any, Final

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from fanout.ids import new_ulid
from services.runtime.problems import MEDIA_TYPE, Problem

MAX_HEAD: Final = 64 * 1024
"""Bytes of a request's line and headers, or of what stands between two parts of its body."""
REQUEST_WITHIN_S: Final = 60.0
"""How long a request may take to arrive, from the connection or its first byte on."""

_TOO_LARGE: Final = Problem(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", "the head is larger than this server takes"
)


class BoundedProtocol(HttpToolsProtocol):
    """Refuses a head that is too large with 431, and closes a connection whose request does not arrive in time."""

    request_within_s = REQUEST_WITHIN_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._beside_body = 0
        self._arriving: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """A client has a limited time for its first request."""
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """There is nothing to wait for any more."""
        self._arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and count what the parser keeps to itself."""
        if self._arriving is None:
            self._expect()
        self._beside_body += len(data)
        super().data_received(data)
        if self._beside_body > MAX_HEAD and not self.transport.is_closing():
            self._refuse()

    def on_body(self, body: bytes) -> None:
        """The parser has passed on what it held; the application bounds bodies."""
        self._beside_body = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is there."""
        self._beside_body = 0
        self._arrived()
        super().on_message_complete()

    def _expect(self) -> None:
        self._arriving = self.loop.call_later(self.request_within_s, self._give_up)

    def _arrived(self) -> None:
        if self._arriving is not None:
            self._arriving.cancel()
            self._arriving = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def _refuse(self) -> None:
        cycle: RequestResponseCycle | None = self.cycle  # None until the first request
        if cycle is None or cycle.response_complete:
            self.transport.write(_response(_TOO_LARGE))
        self.transport.close()


def _response(problem: Problem) -> bytes:
    body = msgspec.json.encode(problem.details(new_ulid()))
    status = HTTPStatus(problem.status)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
