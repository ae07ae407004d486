"""Hints of presence changes: sent to those who listen at the time, and possibly lost."""

from collections.abc import Callable, Sequence
from typing import Protocol

from fanout.keys import PresenceChange
from fanout.ports.bus import Subscription

ChangeHandler = Callable[[PresenceChange], None]
"""Called in the event loop for each hint; must be quick and must not raise."""


class Hints(Protocol):
    """Hints let workers react at once. They may be lost, so the reconciler repairs the table later."""

    async def announce(self, changes: Sequence[PresenceChange]) -> None:
        """Send changes to those who watch now.

        Raises:
            Unavailable: the store does not answer; some of the changes may have been sent.
        """
        ...

    async def watch(self, handler: ChangeHandler) -> Subscription:
        """Call the handler for each hint, across reconnects, until the subscription is closed.

        Raises:
            Unavailable: the store does not answer.
        """
        ...

    async def ping(self) -> None:
        """Return when the store answers."""
        ...
