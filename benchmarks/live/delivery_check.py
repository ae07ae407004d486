"""What was received, compared with what was sent: every event, once, and in order."""

from collections import Counter
from collections.abc import Hashable, Sequence

from benchmarks.errors import BenchError


class WrongDeliveriesError(BenchError):
    """An event was lost, came twice or out of order, so no figure counts."""


def check_deliveries(expected: Sequence[Hashable], received: Sequence[Hashable], where: str) -> None:
    """Compare events by their numbers, or by anything else that tells them apart.

    Args:
        expected: each once, in order.
        received: in the order in which they came.
        where: for the error's text.

    Raises:
        WrongDeliveriesError: they differ; the text says how, and names an event.
    """
    if list(received) != list(expected):
        raise WrongDeliveriesError(f"{where}: {_difference(expected, received)}")


def _difference(expected: Sequence[Hashable], received: Sequence[Hashable]) -> str:
    wanted, came = set(expected), Counter(received)
    if lost := [event for event in expected if event not in came]:
        return f"event {lost[0]} was lost, as were {len(lost) - 1} others of {len(expected)}"
    if foreign := [event for event in received if event not in wanted]:
        return f"event {foreign[0]} came, which is for others"
    if twice := [event for event, times in came.items() if times > 1]:
        return f"event {twice[0]} came more than once, as did {len(twice) - 1} others of {len(expected)}"
    wrong = next(event for event, due in zip(received, expected, strict=True) if event != due)
    return f"event {wrong} came out of order"
