"""Reading thousands of sockets in one process, with as little work as Python allows."""

import math
import select
import socket
import time
from collections.abc import Callable, Sequence
from typing import Final

from benchmarks.errors import BenchError
from benchmarks.live.websocket_frames import Chunk
from benchmarks.processes import Leader

STALLED_AFTER_S: Final = 20.0
QUIET_S: Final = 0.03
"""After the last byte that was due: what was sent twice would have come by then."""
_READ: Final = 1 << 18
_EVENTS: Final = 4096
_EDGE: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
"""The kernel reports bytes once. Otherwise it would be asked again for each socket until that is empty."""


class SocketReader:
    """Counts bytes by socket, notes when each round of them is complete, and keeps them where they are checked later.

    Args:
        leader: reading ends when it has sent a message.
        signals: the address of a socket that gets a datagram for each complete round.
        nap_s: seconds to sleep after each look at the sockets. A client that waits for every single frame is woken for
            it by the server's own system call; clients on other machines do not cost the server that.
    """

    def __init__(self, leader: Leader, signals: str | None = None, *, nap_s: float = 0.0) -> None:
        self._signals = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        if signals is not None:
            self._signals.connect(signals)
        self._reports = signals is not None
        self._nap_s = nap_s
        self._leader = leader.fileno()
        self._poll = select.epoll()
        self._poll.register(self._leader, select.EPOLLIN)
        self._buffer = bytearray(_READ)
        self._receivers: dict[int, Callable[[bytearray], int]] = {}
        self._counts: dict[int, int] = {}
        self._kept: dict[int, list[Chunk]] | None = None
        self._complete_at: list[int] = []
        self._total = 0
        self._round_bytes = 0

    def add(self, sockets: Sequence[socket.socket]) -> None:
        """Read these too."""
        for each in sockets:
            self._receivers[each.fileno()] = each.recv_into
            self._poll.register(each, _EDGE)

    def begin(self, round_bytes: int = 0, *, keep: bool) -> None:
        """Count from 0.

        Args:
            round_bytes: of all sockets together; 0 where there are no rounds.
            keep: whether the bytes are kept, with the time at which they were read.
        """
        self._round_bytes = round_bytes
        self._total = 0
        self._complete_at = []
        self._counts = dict.fromkeys(self._receivers, 0)
        self._kept = {each: [] for each in self._receivers} if keep else None

    def until_message(self) -> None:
        """Read until the benchmark sends a message.

        Raises:
            BenchError: a connection was cut.
        """
        while not self._take(None):
            pass

    def until_quiet(self, quiet_s: float) -> None:
        """Read until nothing has come for some seconds.

        Raises:
            BenchError: a connection was cut.
            EOFError: the benchmark has gone.
        """
        before = -1
        while self._total != before:
            before = self._total
            if self._take(quiet_s):
                raise EOFError

    def until_complete(self, rounds: int) -> list[int]:
        """Read until all rounds are complete, and a moment longer.

        Returns:
            When each was complete, in nanoseconds of CLOCK_MONOTONIC.

        Raises:
            BenchError: something is missing, or more came than was due.
            EOFError: the benchmark has gone.
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
        return self._complete_at

    def require_each(self, due: int) -> None:
        """Compare the bytes of each socket with what was due to each.

        Raises:
            BenchError: one got more, or fewer.
        """
        for each, count in self._counts.items():
            if count != due:
                raise BenchError(f"{due:,} bytes were due to each socket, and one ({each}) got {count:,}")

    def kept(self, of: socket.socket) -> list[Chunk]:
        """What a socket got since `begin`, where it was kept."""
        return (self._kept or {})[of.fileno()]

    def _take(self, within_s: float | None) -> bool:
        """Read what is there, or wait for it; whether the benchmark has sent a message."""
        try:
            asked = self._read(self._poll.poll(within_s, _EVENTS))
        except ConnectionError as error:
            raise BenchError(f"a connection was cut: {error}") from error
        if self._nap_s and not asked:
            time.sleep(self._nap_s)
        return asked

    def _read(self, ready: list[tuple[int, int]]) -> bool:
        receivers, counts, buffer, kept = self._receivers, self._counts, self._buffer, self._kept
        total, complete = self._total, self._complete_with(len(self._complete_at) + 1)
        asked, clock = False, time.monotonic_ns
        for descriptor, event in ready:
            if descriptor == self._leader:
                asked = True
                continue
            if event != select.EPOLLIN:
                raise BenchError("the server closed a connection")
            count = receivers[descriptor](buffer)
            if count == _READ:
                self._poll.modify(descriptor, _EDGE)  # there may be more, which the kernel would not report
            counts[descriptor] += count
            total += count
            if kept is not None:
                kept[descriptor].append((clock(), bytes(memoryview(buffer)[:count])))
            while total >= complete:
                self._complete()
                complete = self._complete_with(len(self._complete_at) + 1)
        self._total = total
        return asked

    def _complete_with(self, rounds: int) -> float:
        """The bytes after which so many rounds are complete."""
        return rounds * self._round_bytes if self._round_bytes else math.inf

    def _complete(self) -> None:
        self._complete_at.append(time.monotonic_ns())
        if self._reports:
            self._signals.send(b".")
