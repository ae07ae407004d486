"""How often a piece of work is done in a second."""

from collections.abc import Callable
from statistics import median
from threading import Barrier, Thread
from time import perf_counter
from typing import Final

_SLICES: Final = 5


def rate(work: Callable[[], int], seconds: float) -> float:
    """What `work` returns, per second: the median of several slices of the time, since machines have slow moments."""
    return median([_slice(work, seconds / _SLICES) for _ in range(_SLICES)])


def rate_of_threads(works: list[Callable[[], int]], seconds: float) -> float:
    """The rates of pieces of work in a thread each, at the same time, added up."""
    barrier, rates = Barrier(len(works)), [0.0] * len(works)

    def run(at: int) -> None:
        barrier.wait()
        rates[at] = rate(works[at], seconds)

    threads = [Thread(target=run, args=(at,)) for at in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rates)


def _slice(work: Callable[[], int], seconds: float) -> float:
    began, done = perf_counter(), 0
    while (taken := perf_counter() - began) < seconds or not done:
        done += work()
    return done / taken
