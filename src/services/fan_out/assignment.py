"""The assignment of partitions to workers: a pure function. Workers with the same view compute the same assignment.

So no worker has to lead.
"""

from collections.abc import Collection, Mapping


def assign(partitions: int, held: Mapping[int, str], workers: Collection[str]) -> dict[int, str]:
    """Distribute the partitions evenly over the workers, and move as few as possible.

    Args:
        partitions: the number of partitions.
        held: the worker that reads each partition now. Without the partitions that nobody reads.
        workers: the workers that are ready, in any order.

    Returns:
        the worker that is to read each partition; empty where there are no workers. Two workers differ by one partition
        at most. A worker that has more than its share keeps those of the lowest numbers.
    """
    if not workers:
        return {}
    holdings: dict[str, list[int]] = {worker: [] for worker in workers}
    for part in range(partitions):
        if held.get(part) in holdings:
            holdings[held[part]].append(part)
    shares = _shares(partitions, holdings)
    kept = {part: worker for worker, parts in holdings.items() for part in parts[: shares[worker]]}
    free = [part for part in range(partitions) if part not in kept]
    vacancies = [
        worker for worker in sorted(holdings) for _ in range(shares[worker] - len(holdings[worker][: shares[worker]]))
    ]
    return kept | dict(zip(free, vacancies, strict=True))


def _shares(partitions: int, holdings: Mapping[str, list[int]]) -> dict[str, int]:
    """The number of partitions of each worker. The larger shares go to the workers that hold most, then by name."""
    share, larger = divmod(partitions, len(holdings))
    by_holding = sorted(holdings, key=lambda worker: (-len(holdings[worker]), worker))
    return {worker: share + (rank < larger) for rank, worker in enumerate(by_holding)}
