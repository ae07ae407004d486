"""HTTP/1.1 by uvicorn, with the bounds that it leaves to whoever stands before it.

A request takes memory from its first byte on, and before anything of it is authenticated: its head, and the trailers
of a chunked body, may neither be endless nor endlessly slow. An answer takes memory until its last byte is read: a
client that does not read is cut off.
"""

import asyncio
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog
from prometheus_client import Counter
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from fanout.error_codes import HEAD_TOO_LARGE
from fanout.ids import new_ulid
from services.runtime.problems import MEDIA_TYPE, Problem

MAX_HEAD: Final = 64 * 1024
"""Bytes of a request's line and headers, or of what stands between two parts of its body."""
REQUEST_WITHIN_S: Final = 60.0
"""How long a request may take to arrive, from the connection or its first byte on."""

MAX_PIPELINED: Final = 100
"""Requests of a connection that wait for the one before them; each takes some kilobytes."""
STALLED_AFTER_S: Final = 10.0
"""How long a client may read nothing of what waits for it."""
READ_WITHIN_S: Final = 60.0
"""How long a client may take to read what waits for it, however steadily it reads."""

STALLED_READERS = Counter(
    "fanout_http_stalled_readers_total", "HTTP connections that were cut off since the client did not read its answer"
)

log = structlog.stdlib.get_logger(__name__)

_TOO_LARGE: Final = Problem(HEAD_TOO_LARGE)


class BoundedProtocol(HttpToolsProtocol):
    """Refuses a head that is too large with 431, and ends connections that do not send or do not read in time.

    A connection holds two answers at most, one that waits to be read, and the next, which waits for it; and a hundred
    requests that wait for those.
    """

    request_within_s = REQUEST_WITHIN_S
    stalled_after_s = STALLED_AFTER_S
    read_within_s = READ_WITHIN_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._beside_body = 0
        self._arriving: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None
        self._answering: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """A client has a limited time for its first request."""
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """There is nothing to wait for any more."""
        self._arrived()
        self._was_read()
        if self._answering is not None:  # uvicorn tells the newest request alone, which may wait for this one
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and count what the parser keeps to itself."""
        if self._arriving is None:
            self._expect()
        self._beside_body += len(data)
        super().data_received(data)
        if self._beside_body > MAX_HEAD and not self.transport.is_closing():
            self._refuse()

    def on_headers_complete(self) -> None:
        """The request begins, or waits for those before it.

        Raises:
            ValueError: too many wait; the parser stops, and the connection ends with 400.
        """
        super().on_headers_complete()
        if not self.pipeline:
            self._answering = self.cycle
        if len(self.pipeline) > MAX_PIPELINED:
            raise ValueError("too many requests wait for the one before them")

    def on_body(self, body: bytes) -> None:
        """The parser has passed on what it held; the application bounds bodies."""
        self._beside_body = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is there."""
        self._beside_body = 0
        self._arrived()
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Much waits for the client."""
        super().pause_writing()
        self._await_reading()

    def resume_writing(self) -> None:
        """Little is left, which has the whole time again: it may be of the next answer."""
        super().resume_writing()
        self._was_read()
        self._await_reading()

    def on_response_complete(self) -> None:
        """The next request's turn. What is not read yet is of the answer's end, which no later write looks after."""
        self._answering = self.pipeline[-1][0] if self.pipeline else None
        super().on_response_complete()
        self._await_reading()

    def _await_reading(self) -> None:
        if self._reading is None and (unread := self.transport.get_write_buffer_size()):
            self._look_again(unread, self.loop.time() + self.read_within_s)

    def _look_again(self, unread: int, until: float) -> None:
        self._reading = self.loop.call_later(self.stalled_after_s, self._look, unread, until)

    def _look(self, before: int, until: float) -> None:
        self._reading = None
        unread = self.transport.get_write_buffer_size()
        if unread and (unread >= before or self.loop.time() >= until):
            self._cut_off(unread)
        elif unread:
            self._look_again(unread, until)

    def _was_read(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _cut_off(self, unread: int) -> None:
        STALLED_READERS.inc()
        log.warning("client does not read its answer, cutting it off", client=self.client, unread_bytes=unread)
        self.transport.abort()  # closing would wait for the client

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
