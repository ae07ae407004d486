"""Events that were received, compared with those that were sent: each must come once, and in order."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence

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
    came = Counter(received)
    lost = [event for event in expected if event not in came]
    foreign = came.keys() - set(expected)
    twice = [event for event, times in came.items() if times > 1]
    if lost:
        how = f"{lost[0]} was lost, as were {len(lost) - 1} others of {len(expected)}"
    elif foreign:
        how = f"{foreign.pop()} came, which is for others"
    elif twice:
        how = f"{twice[0]} came more than once, as did {len(twice) - 1} others of {len(expected)}"
    else:
        how = f"{next(event for event, due in zip(received, expected, strict=True) if event != due)} came out of order"
    raise WrongDeliveriesError(f"{where}: event {how}")


def check_groups(expected: Mapping[int, Sequence[int]], received: Iterable[tuple[int, int]], where: str) -> None:
    """Compare the events of each group, which have an order only within it; raises as `check_deliveries`.

    Args:
        expected: the events by group.
        received: the group of each event, and the event.
        where: `{}` in it stands for the group.
    """
    by_group: dict[int, list[int]] = {group: [] for group in expected}
    for group, event in received:
        by_group.setdefault(group, []).append(event)
    for group, events in by_group.items():
        check_deliveries(expected.get(group, ()), events, where.format(group))
