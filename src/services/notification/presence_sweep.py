"""The sweep of presence: finds devices that nobody disconnected, and changes that nobody has told."""

import asyncio
from typing import Final

from fanout.ports.presence import Aggregates
from services.notification.presence_publisher import PresencePublisher

SWEEP_PRESENCE_EVERY_S: Final = 0.5
SWEPT_AT_ONCE: Final = 100
"""Users in one step of the store: a millisecond or two."""


class PresenceSweep:
    """Publishes what the store finds. Every instance sweeps, and the store gives each user to one of them.

    Args:
        aggregates: the store.
        publisher: publishes the changes.
    """

    def __init__(self, aggregates: Aggregates, publisher: PresencePublisher) -> None:
        self._aggregates = aggregates
        self._publisher = publisher

    async def run(self) -> None:
        """Do what there is to do now.

        Raises:
            Unavailable: the store does not answer.
        """
        await self._end_unheard()
        await self._publish_untold()

    async def _end_unheard(self) -> None:
        more = True
        while more:
            swept = await self._aggregates.sweep(SWEPT_AT_ONCE)
            self._publisher.publish(swept.changes)
            more = swept.more
            await asyncio.sleep(0)

    async def _publish_untold(self) -> None:
        untold = await self._aggregates.untold(SWEPT_AT_ONCE)
        while untold:
            self._publisher.publish(untold)
            untold = await self._aggregates.untold(SWEPT_AT_ONCE) if len(untold) == SWEPT_AT_ONCE else []
