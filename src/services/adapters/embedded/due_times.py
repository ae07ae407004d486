"""Due times: for each key the next time at which there is something to do, taken in the order of time."""

import heapq
from typing import Generic, TypeVar

_K = TypeVar("_K")


class DueTimes(Generic[_K]):
    """A sorted set of keys by time."""

    def __init__(self) -> None:
        self._at: dict[_K, float] = {}
        self._heap: list[tuple[float, int, _K]] = []
        """The times of all keys, and earlier times of some, which count no more."""
        self._entries = 0

    def __len__(self) -> int:
        return len(self._at)

    def set(self, key: _K, at: float | None) -> None:
        """Set the time of a key; None for none."""
        if at is None:
            self._at.pop(key, None)
            return
        self._at[key] = at
        self._entries += 1
        heapq.heappush(self._heap, (at, self._entries, key))
        if len(self._heap) > 2 * len(self._at) + 64:
            self._heap = [entry for entry in self._heap if self._at.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)

    def take(self, until: float, limit: int) -> list[_K]:
        """Take out up to `limit` keys whose time is not after `until`, the earliest first."""
        taken: list[_K] = []
        while self._heap and self._heap[0][0] <= until and len(taken) < limit:
            at, _, key = heapq.heappop(self._heap)
            if self._at.get(key) == at:
                del self._at[key]
                taken.append(key)
        return taken

    def since(self, at: float) -> list[_K]:
        """The keys whose time is `at` or later, in no order."""
        return [key for key, time in self._at.items() if time >= at]
