"""WebSockets of the simulation: one end is the instance's, the other a device's."""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from fanout.ports.socket import SocketClosed
from tests.simulation.hosts import Draw, Host
from tests.support.harness import text_payloads

WAY_S: Final = (0.005, 0.06)
"""The shortest and the longest time from a device to the tier."""
KERNEL_BYTES: Final = 4_096
"""Bytes for a device that does not read which the operating system takes."""
ABNORMAL: Final = 1006
"""The close code of a connection that broke."""


class Wire:
    """One WebSocket connection.

    Args:
        loop: of the simulation.
        draw: the chance of the run.
        server: the host of the instance.
        client: the host of the device.
        on_frame: called at the device with each frame.
        on_close: called at the device with the close code and the reason.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        draw: Draw,
        server: Host,
        client: Host,
        on_frame: Callable[[dict[str, Any]], None],
        on_close: Callable[[int, str], None],
    ) -> None:
        self.socket = ServerSocket(self)
        self.written_at: float | None = None
        """When the instance wrote to the device first."""
        self._loop = loop
        self._draw = draw
        self._server = server
        self._client = client
        self._on_frame = on_frame
        self._on_close = on_close
        self._reading = True
        self._silent = False
        self._ended = False
        self._unread: deque[bytes] = deque()
        self._unread_bytes = 0
        self._arrivals = [0.0, 0.0]

    @property
    def buffered(self) -> int:
        """Bytes that the operating system of the instance has not taken."""
        return max(0, self._unread_bytes - KERNEL_BYTES)

    def send(self, kind: str, **fields: Any) -> None:
        """Send a frame to the instance."""
        text = json.dumps({"type": kind, **fields})
        if not self._silent:
            self._later(lambda: self.socket.arrive(text), forth=True)

    def hang_up(self) -> None:
        """Close the connection from the device."""
        self._ended = True
        if not self._silent:
            self._later(lambda: self.socket.arrive(None), forth=True)

    def go_silent(self) -> None:
        """The device has lost its network: neither end hears anything from now on, nor that the other is gone."""
        self._silent = True

    def break_off(self) -> None:
        """The instance's process has gone: the device is told by its operating system, in a while."""
        self._later(lambda: self._end(ABNORMAL, "the connection broke"), forth=False)

    def read(self, *, reading: bool) -> None:
        """Let the device read, or stop reading."""
        self._reading = reading
        if reading:
            unread, self._unread, self._unread_bytes = self._unread, deque(), 0
            for frames in unread:
                self.write(frames)
            self.socket.wake()

    def write(self, frames: bytes) -> None:
        """Write frames to the device."""
        if self.written_at is None:
            self.written_at = self._loop.time()
        if self._silent or not self._reading:
            self._unread.append(frames)
            self._unread_bytes += len(frames)
        else:
            self._later(lambda: self._take(frames), forth=False)

    def close(self, code: int, reason: str) -> None:
        """Close the connection from the instance."""
        self._later(lambda: self._end(code, reason), forth=False)

    def _take(self, frames: bytes) -> None:
        for payload in text_payloads(frames):
            if not self._ended and not self._silent:
                self._on_frame(json.loads(payload))

    def _end(self, code: int, reason: str) -> None:
        if not self._ended and not self._silent:
            self._ended = True
            self._on_close(code, reason)

    def _later(self, deliver: Callable[[], None], *, forth: bool) -> None:
        at = max(self._arrivals[forth], self._loop.time() + self._draw.between(*WAY_S))
        self._arrivals[forth] = at
        context = (self._server if forth else self._client).context
        self._loop.call_at(at, deliver, context=context)


class ServerSocket:
    """`fanout.ports.socket.Socket`: the instance's end of a wire.

    Attributes:
        close_code: with which the instance has closed it; 0 if it has not.
    """

    authorization: str | None = None
    peer: str | None = None

    def __init__(self, wire: Wire) -> None:
        self.close_code = 0
        self._wire = wire
        self._arrived: deque[str | None] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._draining = asyncio.Event()
        self._closed = False

    @property
    def is_closed(self) -> bool:
        return self._closed or None in self._arrived

    @property
    def closed_by_client(self) -> bool:
        return self.is_closed and not self.close_code

    @property
    def buffered(self) -> int:
        return self._wire.buffered

    def write(self, frames: bytes) -> None:
        if not self._closed:
            self._wire.write(frames)

    async def drained(self) -> None:
        while self.buffered and not self.is_closed:
            self._draining.clear()
            await self._draining.wait()
        if self.is_closed:
            raise SocketClosed

    def acquire_descriptor(self, on_change: Callable[[bool], None]) -> int | None:
        return None

    def allow_large_messages(self) -> None:
        """Frames of people are short."""

    async def receive(self) -> str | bytes:
        while not self._arrived:
            if self._closed:
                raise SocketClosed
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        text = self._arrived.popleft()
        if text is None:
            self._closed = True
            raise SocketClosed
        return text

    async def close(self, code: int, reason: str) -> None:
        if not self._closed:
            self._closed, self.close_code = True, code
            self._wire.close(code, reason)
            self.wake()
        await asyncio.sleep(0)

    def arrive(self, text: str | None) -> None:
        """Take a message of the device; None where it has closed the connection."""
        self._arrived.append(text)
        self.wake()

    def wake(self) -> None:
        """Let who waits look again: for a message, or until the device has read."""
        self._draining.set()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
