"""Long work on the event loop, cut into slices, so that nothing else waits for the whole of it."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

SLICE_S: Final = 0.001
"""How long a slice holds the loop. One step more may follow, so a step must be short by itself."""


class TimeSlice:
    """Gives the loop to others once the work has held it for its time.

    Call `breathe` between the steps of the work. Pieces of work that run side by side share one, so that all of them
    together hold the loop for no more than a slice and a step each.

    Args:
        seconds: the length of a slice.
        clock: seconds, from any fixed point; it must not step back.
    """

    def __init__(self, seconds: float = SLICE_S, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._seconds = seconds
        self._clock = clock
        self._ends = clock() + seconds
        self._next: asyncio.Event | None = None
        """Set when the next slice begins, while somebody waits for it."""

    async def breathe(self) -> None:
        """Let everything else that is ready run, where the slice is over; then a new one begins."""
        # All that waited wake in one turn of the loop, and the first of them may use up the new slice.
        while self._clock() >= self._ends:
            if self._next is None:
                self._next = asyncio.Event()
                asyncio.get_running_loop().call_soon(self._begin, self._next)
            await self._next.wait()

    def _begin(self, began: asyncio.Event) -> None:
        self._next = None
        self._ends = self._clock() + self._seconds
        began.set()
