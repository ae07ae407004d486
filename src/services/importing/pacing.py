"""The pace of an import while services run.

Each new membership is published on the log by the sweeps of the gateways, delivered to the workers and, where members
are online, to their clients. The pacer bounds how many wait to be published at a time, and how many begin a second.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from fanout import machine
from fanout.errors import FanoutError
from fanout.ports.memberships import Memberships

MIN_UNPUBLISHED: Final = 1_000
MAX_UNPUBLISHED: Final = 5_000
"""Changes that may wait to be published: those of a gateway that died wait behind them."""
_SWEEPS_APART_S: Final = 3.0
"""Somewhat longer than gateways rest between two sweeps: the changes of this time wait for the next one."""
STALLED_AFTER_S: Final = 60.0
"""Seconds without a published change after which nobody seems to publish."""
_LOOK_EVERY_S: Final = 0.1


class NothingPublishes(FanoutError):  # noqa: N818 - the condition, as elsewhere
    """The changes in the store are not published: no gateway runs, or the log is away."""


class Pacer:
    """Holds an import back.

    Args:
        memberships: the store that holds the unpublished changes.
        per_second: the most memberships that begin in a second.
        clock: monotonic seconds.
        sleep: waits for some seconds.
    """

    def __init__(
        self,
        memberships: Memberships,
        per_second: float,
        clock: Callable[[], float] = machine.monotonic_s,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._memberships = memberships
        self._per_second = per_second
        self._clock = clock
        self._sleep = sleep
        self._free_at = clock()
        self._count_took_s = 0.0
        self._limit = min(MAX_UNPUBLISHED, max(MIN_UNPUBLISHED, int(per_second * _SWEEPS_APART_S)))

    async def before(self, rows: int) -> None:
        """Wait until so many rows may be written.

        Raises:
            NothingPublishes: no change was published for `STALLED_AFTER_S`, and too many wait.
            Unavailable: the store does not answer.
        """
        await self._sleep(max(0.0, self._free_at - self._clock()))
        await self._until(max(0, self._limit - rows))

    def after(self, began: int) -> None:
        """Take note of memberships that began."""
        self._free_at = max(self._free_at, self._clock()) + began / self._per_second

    async def all_published(self) -> None:
        """Wait until no change waits to be published.

        Raises:
            NothingPublishes: no change was published for `STALLED_AFTER_S`.
            Unavailable: the store does not answer.
        """
        await self._until(0)

    async def _until(self, limit: int) -> None:
        unpublished = await self._count()
        fewest, since = unpublished, self._clock()
        while unpublished > limit:
            if self._clock() - since > STALLED_AFTER_S:
                raise NothingPublishes(f"{unpublished} changes of memberships wait to be published")
            await self._sleep(max(_LOOK_EVERY_S, self._count_took_s))
            unpublished = await self._count()
            if unpublished < fewest:
                fewest, since = unpublished, self._clock()

    async def _count(self) -> int:
        """Count the unpublished changes. A store that counts slowly is left alone for as long as that takes."""
        began = self._clock()
        try:
            return await self._memberships.count_unpublished()
        finally:
            self._count_took_s = self._clock() - began
