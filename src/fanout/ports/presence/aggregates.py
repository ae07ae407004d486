"""The presence of users, aggregated over their devices.

A user's status is that of the most active device: a state of `active` makes `online`, `idle` makes `idle`, `background`
makes `away`, and no device makes `offline`. Each call of `Connections` that changes a device computes it in the same
atomic step. A change of it, and the duty to tell others of the change, are one write: the change is *untold* until a
worker has passed it on (`told`), so that none is forgotten where a process dies.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Status = Literal["online", "idle", "away", "offline"]


@dataclass(frozen=True, slots=True)
class UserPresence:
    """A user's presence, as others see it."""

    user_id: str
    status: Status = "offline"
    version: int = 0
    """The higher it is, the newer the presence. It is at least the time of the change, by the store's clock, in
    microseconds since 1970; 0 if nothing is known of the user."""
    last_active: str | None = None
    """When a device of the user was `active` last, as `fanout.events.timestamp` writes it; None if it is not known."""
    status_text: str = ""
    status_emoji: str = ""
    active_device_count: int = 0
    """The number of devices that are connected. A change of it alone has no version."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """The result of `Aggregates.sweep`."""

    changes: Sequence[UserPresence]
    """The presences that changed. They are untold."""
    more: bool
    """Whether there may be more to do at once."""


class Aggregates(Protocol):
    """The presence of users. Every call raises `Unavailable` if the store does not answer."""

    async def presences_of(self, user_ids: Collection[str]) -> dict[str, UserPresence]:
        """The presence of each of some users now, also of those of whom nothing is known.

        A device whose record or whose instance's lease has ended does not count, whether or not a sweep has seen it.
        """
        ...

    async def set_status(self, user_id: str, text: str, emoji: str) -> UserPresence:
        """Set what the user says of themself, empty for nothing. It is a change, unless both are as before.

        Returns:
            the presence after it.
        """
        ...

    async def sweep(self, limit: int) -> Sweep:
        """Compute the presence of users whose connections ended although nobody disconnected them.

        Their time is over, the time of grace after an unclean close is, or their instance has no lease any more. Any
        number of processes may sweep: each user is handled by one of them.

        Args:
            limit: the most users that this call handles.
        """
        ...

    async def untold(self, limit: int) -> list[UserPresence]:
        """Return up to `limit` presences whose change has been untold for `keys.UNTOLD_AFTER_S`.

        The caller publishes them. They are not returned again, to anybody, before the same time has passed.
        """
        ...

    async def told(self, presences: Collection[UserPresence]) -> None:
        """Note that these presences were told. A change that is newer than the one given stays untold."""
        ...

    async def changed_within(self, seconds: float) -> list[UserPresence]:
        """The presences that changed in the last `seconds`, at most `keys.CHANGES_KEPT_S`."""
        ...

    async def ping(self) -> None:
        """Return when the store answers."""
        ...
