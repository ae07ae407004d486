"""The channels of users, as workers have them in their tables. An instance that gets them reads no store for a login.

A worker has just loaded the user's channels, or has them in its cache. What it applies later it routes here, as it does
for a list that was read from the store.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec
import structlog

from fanout import Unavailable, machine, packed_ids
from fanout.ids import new_ulid
from fanout.ports.bus import Bus
from fanout.ports.log import Reset
from fanout.streams import STREAMS
from fanout.subjects import channel_lists
from fanout.workers import ANSWERED_WITHIN_S, ChannelsPage, ChannelsRequest
from services.notification.routing_barrier import RoutingBarrier
from services.runtime.skipping import skip

log = structlog.get_logger(__name__)

COMPLETE_WITHIN_S: Final = 3.0
"""Seconds within which all pages come. Else the channels are read from the store."""
SILENT_FOR_S: Final = 5.0
"""Seconds in which a worker that did not answer is not asked again: it may be busy, or of a version that gives no
lists."""
NOT_ASKED_S: Final = 60.0
"""Seconds after a loss of membership changes in which no worker is asked: it may learn of the loss later than this
instance, and have changes in its table that nobody will be told of, or none of those that were lost."""


@dataclass(slots=True, eq=False)
class _Transfer:
    pages: list[bytes] = field(default_factory=list)
    """The channels of each page that came."""
    members_upto: int = -1
    """The position of META up to which the list has the changes; -1 until it is whole."""
    is_over: bool = False
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

    def were_changes_lost(self) -> bool:
        """Whether membership changes were lost lately, so that no worker is asked."""
        return self._clock() < self._not_asked_until

    async def ask(self, user_id: str, *, members_upto: int) -> bytes | None:
        """Return the channels of a user whom every worker routes to this instance.

        Args:
            user_id: whose.
            members_upto: the position of META up to which each worker has applied the changes. A list that says less is
                of a worker that was restarted, or does not know yet that the log has lost changes.

        Returns:
            the packed ids; None where the worker that is asked does not give them, so that the store has to be read.
        """
        worker = self._chosen_worker()
        if worker is None or self.were_changes_lost():
            return None
        found = await self._ask(worker, user_id)
        is_certain = found.members_upto >= members_upto and not self.were_changes_lost()  # one may be heard meanwhile
        return packed_ids.join(found.pages) if is_certain else None

    def _chosen_worker(self) -> str | None:
        """Any worker that is heard, without those that did not answer."""
        now = self._clock()
        self._silent_until = {worker: until for worker, until in self._silent_until.items() if until > now}
        workers = [worker for worker in self._routing_barrier.workers() if worker not in self._silent_until]
        return workers[machine.random_below(len(workers))] if workers else None

    async def _ask(self, worker: str, user_id: str) -> _Transfer:
        request, transfer = ChannelsRequest(self._instance_id, user_id, new_ulid()), _Transfer()
        self._transfers[request.request] = transfer
        try:
            async with asyncio.timeout(COMPLETE_WITHIN_S):
                await self._bus.publish(channel_lists(worker), msgspec.json.encode(request))
                await _complete(transfer)
        except Unavailable as error:
            log.info("a worker cannot be asked for the channels of a user", worker=worker, reason=str(error))
        except TimeoutError:
            log.info("a worker does not give the channels of a user; the store is read", worker=worker)
            if not transfer.pages:
                self._silent_until[worker] = self._clock() + SILENT_FOR_S
        finally:
            del self._transfers[request.request]
        return transfer

    def hear(self, page: ChannelsPage) -> None:
        """Take a page of a worker."""
        transfer = self._transfers.get(page.request)
        if transfer is None or transfer.is_over:
            return
        is_next = page.known and page.page == len(transfer.pages)
        try:
            transfer.pages.append(page.packed())
        except msgspec.ValidationError as error:
            skip("channels_page", error)
            is_next = False
        transfer.is_over = page.last or not is_next
        if page.last and is_next:
            transfer.members_upto = page.members_upto
        transfer.arrived.set()


async def _complete(transfer: _Transfer) -> None:
    """Wait for the last page, or one that shows that the list will not be whole."""
    while not transfer.is_over:
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            await transfer.arrived.wait()
        transfer.arrived.clear()
