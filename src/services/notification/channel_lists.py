"""The channels of users, as workers have them in their tables. An instance that gets them reads no store for a login.

A worker has just loaded the user's channels, or has them in its cache. What it applies later it routes here, as it does
for a list that was read from the store.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec
import structlog

from fanout import Unavailable, machine
from fanout.ids import new_ulid
from fanout.ports.bus import Bus
from fanout.ports.log import Reset
from fanout.streams import STREAMS
from fanout.subjects import channel_lists
from fanout.workers import ChannelsPage, ChannelsRequest
from services.notification.routing_barrier import RoutingBarrier
from services.runtime.skipping import skip

log = structlog.get_logger(__name__)

ANSWERED_WITHIN_S: Final = 1.0
"""Seconds without a page after which the channels are read from the store."""
SILENT_FOR_S: Final = 5.0
"""Seconds in which a worker that did not answer is not asked again: it may be of a version that gives no lists."""
NOT_ASKED_S: Final = 60.0
"""Seconds after a loss of membership changes in which no worker is asked: it may learn of the loss later than this
instance, and have changes in its table that nobody will be told of, or none of those that were lost."""


class ChannelList(NamedTuple):
    """The channels of a user in the table of a worker."""

    channels: list[str]
    members_upto: int
    """The list has every membership change up to this position of META."""


@dataclass(slots=True, eq=False)
class _Transfer:
    channels: list[str] = field(default_factory=list)
    pages: int = 0
    last: ChannelsPage | None = None
    failed: bool = False
    arrived: asyncio.Event = field(default_factory=asyncio.Event)


class ChannelLists:
    """Asks workers for the channels of users.

    Args:
        instance_id: this instance.
        bus: carries the requests.
        routing_barrier: knows the workers.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        instance_id: str,
        bus: Bus,
        routing_barrier: RoutingBarrier,
        *,
        clock: Callable[[], float] = machine.monotonic_s,
    ) -> None:
        self._instance_id = instance_id
        self._bus = bus
        self._routing_barrier = routing_barrier
        self._clock = clock
        self._transfers: dict[str, _Transfer] = {}
        self._not_asked_until = 0.0
        self._silent_until: dict[str, float] = {}

    def hear_reset(self, reset: Reset) -> None:
        """Handle the news that a stream went back, as the listener of `Log.on_reset`."""
        if STREAMS[reset.stream].changes_memberships:
            self._not_asked_until = self._clock() + NOT_ASKED_S

    async def ask(self, user_id: str) -> ChannelList | None:
        """Return the channels of a user whom every worker routes to this instance.

        Call it when each worker has applied every membership change that was published before.

        Returns:
            the list; None where no worker gives it, so that the store has to be read.
        """
        worker = self._routing_barrier.any_worker()
        if worker is None or self._clock() < max(self._not_asked_until, self._silent_until.get(worker, 0.0)):
            return None
        try:
            found = await self._ask(worker, user_id)
            return found if self._clock() >= self._not_asked_until else None  # a loss may have been heard meanwhile
        except Unavailable as error:
            log.info("a worker cannot be asked for the channels of a user", worker=worker, reason=str(error))
        except TimeoutError:
            log.info("a worker does not give the channels of a user; the store is read", worker=worker)
            self._silent_until = {worker: self._clock() + SILENT_FOR_S}
        return None

    async def _ask(self, worker: str, user_id: str) -> ChannelList | None:
        request, transfer = ChannelsRequest(self._instance_id, user_id, new_ulid()), _Transfer()
        self._transfers[request.request] = transfer
        try:
            await self._bus.publish(channel_lists(worker), msgspec.json.encode(request))
            return await self._received(transfer)
        finally:
            del self._transfers[request.request]

    def hear(self, page: ChannelsPage) -> None:
        """Take a page of a worker."""
        transfer = self._transfers.get(page.request)
        if transfer is None:
            return
        try:
            transfer.channels += page.ids()
        except msgspec.ValidationError as error:
            skip("channels_page", error)
            transfer.failed = True
        transfer.failed |= not page.known or page.page != transfer.pages
        transfer.pages += 1
        transfer.last = page if page.last else None
        transfer.arrived.set()

    async def _received(self, transfer: _Transfer) -> ChannelList | None:
        while transfer.last is None and not transfer.failed:
            async with asyncio.timeout(ANSWERED_WITHIN_S):
                await transfer.arrived.wait()
            transfer.arrived.clear()
        if transfer.failed or transfer.last is None:
            return None
        return ChannelList(transfer.channels, transfer.last.members_upto)
