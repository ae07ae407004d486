"""Time slices: long work on the event loop gives other tasks a turn after each slice."""

import asyncio
from collections.abc import Callable
from typing import Final

from fanout import machine

SLICE_S: Final = 0.001
"""The length of a slice. The step that exceeds it is finished first, so each step must be short."""


class TimeSlice:
    """Yields the event loop whenever the work has run for the length of a slice.

    Call `breathe` between the steps of the work. Tasks that run concurrently share one `TimeSlice`, so that all of them
    together block the loop for no more than a slice and one step each.

    Args:
        seconds: the length of a slice, in seconds.
        clock: seconds, from any fixed point; it must not step back.
    """

    def __init__(self, seconds: float = SLICE_S, *, clock: Callable[[], float] = machine.precise_s) -> None:
        self._seconds = seconds
        self._clock = clock
        self._ends = clock() + seconds
        self._next: asyncio.Event | None = None
        """Set when the next slice begins; None while no task waits for that."""

    async def breathe(self) -> None:
        """Let the other tasks run if the slice is over; a new slice begins after that."""
        # All waiting tasks wake in one turn of the loop, and the first of them may use up the new slice.
        while self._clock() >= self._ends:
            if self._next is None:
                self._next = asyncio.Event()
                asyncio.get_running_loop().call_soon(self._begin, self._next)
            await self._next.wait()

    def _begin(self, began: asyncio.Event) -> None:
        self._next = None
        self._ends = self._clock() + self._seconds
        began.set()
