"""HTTP/1.1 by uvicorn, with the limits that uvicorn leaves to a proxy in front of it.

A request takes memory from its first byte on, before its token is verified. So the size of its head and of the trailers
of a chunked body is limited, and so is the time that they may take to arrive. A response takes memory until the client
has read its last byte, so the connection of a client that does not read is closed.
"""

import asyncio
from http import HTTPStatus
from typing import Any, Final

import structlog
from prometheus_client import Counter
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from fanout.error_codes import HEAD_TOO_LARGE
from fanout.ids import new_ulid
from services.runtime.problems import MEDIA_TYPE, Problem

MAX_HEAD: Final = 64 * 1024
"""Bytes of the request line and headers, or between two parts of a body."""
REQUEST_WITHIN_S: Final = 60.0
"""Seconds that a request may take to arrive, counted from the connection or from its first byte."""

MAX_PIPELINED: Final = 100
"""Requests of one connection that may wait for the request before them; each takes some kilobytes."""
STALLED_AFTER_S: Final = 10.0
"""Seconds for which a client may read nothing while a response waits for it."""
READ_WITHIN_S: Final = 60.0
"""Seconds that a client may take to read what waits for it, even if it reads all the time."""

STALLED_READERS = Counter(
    "fanout_http_stalled_readers_total",
    "HTTP connections that were closed because the client did not read its response",
)

log = structlog.stdlib.get_logger(__name__)

_TOO_LARGE: Final = Problem(HEAD_TOO_LARGE)


class BoundedProtocol(HttpToolsProtocol):
    """Answers a head that is too large with 431, and closes connections that do not send or do not read in time.

    A connection holds at most two responses, one that the client still has to read and the next one, and a hundred
    requests that wait for these.
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
        """Start the time that the client has for its first request."""
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers, and notify the request that is being answered."""
        self._arrived()
        self._was_read()
        if self._answering is not None:  # uvicorn notifies the newest request alone, which may wait for this one
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and count the bytes that the parser holds."""
        if self._arriving is None:
            self._expect()
        self._beside_body += len(data)
        super().data_received(data)
        if self._beside_body > MAX_HEAD and not self.transport.is_closing():
            self._refuse()

    def on_headers_complete(self) -> None:
        """Begin to answer the request, or let it wait for those before it.

        Raises:
            ValueError: too many requests wait. The parser stops, and the connection ends with 400.
        """
        super().on_headers_complete()
        if not self.pipeline:
            self._answering = self.cycle
        if len(self.pipeline) > MAX_PIPELINED:
            raise ValueError("too many requests wait for the one before them")

    def on_body(self, body: bytes) -> None:
        """The parser holds nothing more. The application limits the size of bodies."""
        self._beside_body = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request has arrived."""
        self._beside_body = 0
        self._arrived()
        super().on_message_complete()

    def pause_writing(self) -> None:
        """The client has much to read."""
        super().pause_writing()
        self._await_reading()

    def resume_writing(self) -> None:
        """The client has little left to read, and the whole time for it: it may be part of the next response."""
        super().resume_writing()
        self._was_read()
        self._await_reading()

    def on_response_complete(self) -> None:
        """Turn to the next request, and watch whether the client reads the rest of this response."""
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
            self._disconnect(unread)
        elif unread:
            self._look_again(unread, until)

    def _was_read(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _disconnect(self, unread: int) -> None:
        STALLED_READERS.inc()
        log.warning("client does not read its response and is disconnected", client=self.client, unread_bytes=unread)
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
    body = problem.body(new_ulid())
    status = HTTPStatus(problem.status)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
