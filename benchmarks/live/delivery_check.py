"""What was received, compared with what was sent: every event, once, and in order."""

from collections import Counter
from collections.abc import Hashable, Sequence

from benchmarks.errors import BenchError


class WrongDeliveriesError(BenchError):
    """An event was lost, came twice or out of order, so no figure counts."""


def check_deliveries(expected: Sequence[Hashable], received: Sequence[Hashable], where: str) -> None:
    """Compare events by their numbers, or by anything else that tells them apart; each is expected once.

    Raises:
        WrongDeliveriesError: they differ; the text says how and `where`, and names an event.
    """
    if list(received) == list(expected):
        return
    wanted, came = set(expected), Counter(received)
    lost = [event for event in expected if event not in came]
    foreign = [event for event in received if event not in wanted]
    twice = [event for event, times in came.items() if times > 1]
    if lost:
        how = f"{lost[0]} was lost, as were {len(lost) - 1} others of {len(expected)}"
    elif foreign:
        how = f"{foreign[0]} came, which is for others"
    elif twice:
        how = f"{twice[0]} came more than once, as did {len(twice) - 1} others of {len(expected)}"
    else:
        how = f"{next(event for event, due in zip(received, expected, strict=True) if event != due)} came out of order"
    raise WrongDeliveriesError(f"{where}: event {how}")
