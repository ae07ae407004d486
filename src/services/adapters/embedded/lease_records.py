"""The leases of instances inside one process, and which connections count by them."""

from collections.abc import Callable
from dataclasses import dataclass

from fanout.keys import LEASE_TTL_S
from fanout.ports.presence import Lease


@dataclass(slots=True)
class _Leaving:
    incarnation: str
    ends: float


class LeaseRecords:
    """Leases, each with the time of its end.

    Args:
        clock: seconds since any fixed point. It must not go back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._leases: dict[str, tuple[Lease, float]] = {}
        self._leaving: dict[str, _Leaving] = {}
        self._renewed = float("-inf")
        self._doubted_until = float("-inf")

    def lease(self, lease: Lease) -> bool:
        """See `fanout.ports.presence.Leases`.

        Where no lease was renewed for the length of one, those that ended meanwhile say nothing about their instances:
        they are doubted for the same time.
        """
        now, held = self._clock(), self.live().get(lease.instance_id)
        if now - self._renewed > LEASE_TTL_S:
            self._doubted_until = now + LEASE_TTL_S
        self._renewed = now
        self._leases[lease.instance_id] = (lease, now + LEASE_TTL_S)
        return held is None or held.incarnation != lease.incarnation

    def release(self, instance_id: str, lingers_s: float) -> None:
        """See `fanout.ports.presence.Leases`."""
        held = self._leases.pop(instance_id, None)
        if held is not None and lingers_s:
            self._leaving[instance_id] = _Leaving(held[0].incarnation, self._clock() + lingers_s)

    def live(self) -> dict[str, Lease]:
        """The leases that have not ended."""
        now = self._clock()
        self._leases = {instance: held for instance, held in self._leases.items() if held[1] > now}
        self._leaving = {instance: left for instance, left in self._leaving.items() if left.ends > now}
        return {instance: lease for instance, (lease, _) in self._leases.items()}

    def is_replaced(self, instance_id: str, incarnation: str) -> bool:
        """Whether a later incarnation of an instance has its lease, so that those before never count again."""
        held = self.live().get(instance_id)
        return held is not None and incarnation not in {"", held.incarnation}

    def counts(self, instance_id: str, incarnation: str) -> bool:
        """Whether connections to an incarnation of an instance count in the presence of their users."""
        if (held := self.live().get(instance_id)) is not None:
            return incarnation in {"", held.incarnation}
        left = self._leaving.get(instance_id)
        return (left is not None and left.incarnation == incarnation) or self._clock() < self._doubted_until
