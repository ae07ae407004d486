"""Whether what arrived is what was sent: everything, once, and in order."""

from collections import Counter
from collections.abc import Sequence

from benchmarks.errors import BenchError


class WrongArrivalsError(BenchError):
    """Something was lost, came twice or out of order, so no figure counts."""


def check_arrivals(expected: Sequence[int], arrived: Sequence[int], where: str) -> None:
    """Compare the numbers of events with those that should have come.

    Args:
        expected: each once, in order.
        arrived: in the order in which they came.
        where: for the error's text.

    Raises:
        WrongArrivalsError: they differ; the text says how, and names an event.
    """
    if list(arrived) != list(expected):
        raise WrongArrivalsError(f"{where}: {_difference(expected, arrived)}")


def _difference(expected: Sequence[int], arrived: Sequence[int]) -> str:
    if lost := set(expected).difference(arrived):
        return f"event {min(lost)} was lost, as were {len(lost) - 1} others of {len(expected)}"
    if strange := set(arrived).difference(expected):
        return f"event {min(strange)} came, which is for others"
    if twice := [number for number, times in Counter(arrived).items() if times > 1]:
        return f"event {min(twice)} came more than once, as did {len(twice) - 1} others of {len(expected)}"
    wrong = next(came for came, wanted in zip(arrived, expected, strict=True) if came != wanted)
    return f"event {wrong} came out of order"
