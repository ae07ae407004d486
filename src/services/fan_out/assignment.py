"""Who reads which partition: a pure rule that every worker applies to the same view, without a leader."""

from collections.abc import Collection, Mapping


def plan(partitions: int, held: Mapping[int, str], workers: Collection[str]) -> dict[int, str]:
    """Spread the partitions evenly over the workers, moving as few as can be.

    Args:
        partitions: how many there are.
        held: the worker that reads each partition now, where one does.
        workers: the workers that are ready, in any order.

    Returns:
        the worker that should read each partition; empty without workers. Shares differ by one at most, and a worker
        keeps its lowest partitions up to its share.
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
    """The fair number of each worker; the larger shares go to those that hold most, then by name."""
    share, larger = divmod(partitions, len(holdings))
    by_holding = sorted(holdings, key=lambda worker: (-len(holdings[worker]), worker))
    return {worker: share + (rank < larger) for rank, worker in enumerate(by_holding)}
