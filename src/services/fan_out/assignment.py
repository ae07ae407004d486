"""The assignment of partitions to workers: a pure function. Workers with the same view compute the same assignment.

So no worker has to lead.
"""

from collections.abc import Collection, Mapping


def assign(partitions: int, current: Mapping[int, str], workers: Collection[str]) -> dict[int, str]:
    """Distribute the partitions evenly over the workers, and move as few as possible.

    Args:
        partitions: the number of partitions.
        current: the worker that reads each partition now. Partitions without a reader are left out.
        workers: the workers that are ready, in any order.

    Returns:
        the worker that is to read each partition; empty where there are no workers. Two workers differ by one partition
        at most. A worker that has more than its share keeps those of the lowest numbers.
    """
    if not workers:
        return {}
    parts_of: dict[str, list[int]] = {worker: [] for worker in workers}
    for part in range(partitions):
        if current.get(part) in parts_of:
            parts_of[current[part]].append(part)
    shares = _shares(partitions, parts_of)
    kept = {part: worker for worker, parts in parts_of.items() for part in parts[: shares[worker]]}
    free = [part for part in range(partitions) if part not in kept]
    vacancies = [
        worker for worker in sorted(parts_of) for _ in range(shares[worker] - len(parts_of[worker][: shares[worker]]))
    ]
    return kept | dict(zip(free, vacancies, strict=True))


def _shares(partitions: int, parts_of: Mapping[str, list[int]]) -> dict[str, int]:
    """The number of partitions of each worker. The larger shares go to the workers that read most now, then by name."""
    share, larger = divmod(partitions, len(parts_of))
    most_first = sorted(parts_of, key=lambda worker: (-len(parts_of[worker]), worker))
    return {worker: share + (rank < larger) for rank, worker in enumerate(most_first)}
