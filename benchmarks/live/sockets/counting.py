"""Counting what comes on thousands of sockets, by one process and with as little work as Python allows."""

import select
import socket
import time
from collections.abc import Callable, Sequence
from typing import Final

from benchmarks.errors import BenchError

STALLED_AFTER_S: Final = 20.0
QUIET_S: Final = 0.03
"""After the last frame that was due: what was sent twice would have come by then."""
_READ: Final = 1 << 18
_EVENTS: Final = 4096
_EDGE: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
"""Told once of what came: asked again for each socket until it is empty, the kernel would do more."""


class Counter:
    """Counts bytes by socket, and notes when each round of them is complete.

    Args:
        control: the socket on which the leading process speaks.
        signals: gets a byte for each round that is complete.
        nap_s: seconds to sleep after each look at the sockets. A client that waits for every single frame is woken for
            it, by the server's own call, which clients on other machines do not cost it.
    """

    def __init__(self, control: socket.socket, signals: socket.socket | None, *, nap_s: float = 0.0) -> None:
        self._signals = signals
        self._nap_s = nap_s
        self._control = control.fileno()
        self._poll = select.epoll()
        self._poll.register(control, select.EPOLLIN)
        self._buffer = bytearray(_READ)
        self._receivers: dict[int, Callable[[bytearray], int]] = {}
        self._counts: dict[int, int] = {}
        self._kept: dict[int, bytearray] | None = None
        self._arrived: list[int] = []
        self._total = 0
        self._round_bytes = 1

    def add(self, sockets: Sequence[socket.socket]) -> None:
        """Count these too."""
        for each in sockets:
            self._receivers[each.fileno()] = each.recv_into
            self._poll.register(each, _EDGE)

    def begin(self, round_bytes: int, *, keep: bool) -> None:
        """Begin at nothing.

        Args:
            round_bytes: of all sockets together.
            keep: what comes is kept by socket, beside being counted.
        """
        self._round_bytes = round_bytes
        self._total = 0
        self._arrived = []
        self._counts = dict.fromkeys(self._receivers, 0)
        self._kept = {each: bytearray() for each in self._receivers} if keep else None

    def until_asked(self) -> None:
        """Count until the leading process says something.

        Raises:
            BenchError: a connection was cut.
        """
        while not self._take(None):
            pass

    def until_complete(self, rounds: int) -> list[int]:
        """Count until all rounds are complete, and a moment longer.

        Returns:
            when each was complete, in nanoseconds of CLOCK_MONOTONIC.

        Raises:
            BenchError: something is missing, or more came than is due.
            EOFError: the leading process is gone.
        """
        due = rounds * self._round_bytes
        while self._total < due:
            before = self._total
            if self._take(STALLED_AFTER_S):
                raise EOFError
            if self._total == before:
                raise BenchError(f"of {due:,} bytes that were due {self._total:,} came, and no more in a while")
        self._take(QUIET_S)
        if self._total > due:
            raise BenchError(f"{due:,} bytes were due, and {self._total:,} came: something came twice")
        return self._arrived

    def require_each(self, due: int) -> None:
        """Hold what each socket got against what was due to each.

        Raises:
            BenchError: one got more, or less.
        """
        for each, count in self._counts.items():
            if count != due:
                raise BenchError(f"{due:,} bytes were due to each socket, and one ({each}) got {count:,}")

    def kept(self, of: socket.socket) -> bytes:
        """All that came on a socket since the last beginning, where it was to be kept."""
        return bytes((self._kept or {})[of.fileno()])

    def _take(self, patience: float | None) -> bool:
        """Read what is there, or wait for it; whether the leading process has said something."""
        try:
            asked = self._read(self._poll.poll(patience, _EVENTS))
        except ConnectionError as error:
            raise BenchError(f"a connection was cut: {error}") from error
        if self._nap_s and not asked:
            time.sleep(self._nap_s)
        return asked

    def _read(self, ready: list[tuple[int, int]]) -> bool:
        receivers, counts, buffer, control = self._receivers, self._counts, self._buffer, self._control
        total, complete = self._total, (len(self._arrived) + 1) * self._round_bytes
        asked = False
        for descriptor, event in ready:
            if descriptor == control:
                asked = True
                continue
            if event != select.EPOLLIN:
                raise BenchError("the server closed a connection")
            count = receivers[descriptor](buffer)
            if count == _READ:
                self._poll.modify(descriptor, _EDGE)  # there may be more, of which nobody would tell
            counts[descriptor] += count
            total += count
            if self._kept is not None:
                self._kept[descriptor] += buffer[:count]
            while total >= complete:
                self._complete()
                complete += self._round_bytes
        self._total = total
        return asked

    def _complete(self) -> None:
        self._arrived.append(time.monotonic_ns())
        if self._signals is not None:
            self._signals.send(b".")
