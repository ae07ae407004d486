"""The channels of users, for the instances that have them: so an instance need not read them from the store again."""

import asyncio
from collections.abc import Iterator
from typing import Final

import msgspec
import structlog

from fanout import Engine, Unavailable
from fanout.ports.bus import Bus
from fanout.subjects import channel_lists, instance_control
from fanout.workers import ChannelsPage, ChannelsRequest, decode_channels_request
from services.fan_out.partitions import Partitions
from services.fan_out.presence_applier import INLINE_CHANNELS, PresenceApplier
from services.runtime.skipping import skip
from services.runtime.tasks import Tasks, retry_forever

log = structlog.get_logger(__name__)

PAGE_BYTES: Final = 32 * 1024
"""The receiver checks the ids of such a page in half a millisecond. Several may come in a turn of its loop."""


class ChannelLists:
    """Answers the instances that ask for the channels of their users.

    Args:
        worker_id: this worker.
        engine: has the table.
        presence_applier: knows the users of whom a change is pending.
        partitions: know up to where membership changes are applied.
        bus: carries the requests and the pages.
        tasks: runs the answers.
    """

    def __init__(
        self,
        worker_id: str,
        engine: Engine,
        presence_applier: PresenceApplier,
        partitions: Partitions,
        bus: Bus,
        tasks: Tasks,
    ) -> None:
        self._worker_id = worker_id
        self._engine = engine
        self._presence_applier = presence_applier
        self._partitions = partitions
        self._bus = bus
        self._tasks = tasks

    async def listen(self) -> None:
        """Subscribe to the requests."""
        subject = channel_lists(self._worker_id)
        await retry_forever(lambda: self._bus.subscribe(subject, self._hear), "listening to requests for channels")

    def _hear(self, _subject: str, payload: bytes) -> None:
        try:
            request = decode_channels_request(payload)
        except msgspec.DecodeError as error:
            skip("channels_request", error)
            return
        self._tasks.start(self._answer(request), "sending the channels of a user")

    async def _answer(self, request: ChannelsRequest) -> None:
        subject = instance_control(request.instance)
        try:
            for page in await self._pages(request):
                await self._bus.publish(subject, msgspec.json.encode(page))
                await asyncio.sleep(0)
        except Unavailable as error:
            log.info("channels not sent; the instance reads them from the store", reason=str(error))

    async def _pages(self, request: ChannelsRequest) -> Iterator[ChannelsPage]:
        # Taken before the list is read: a change that is applied meanwhile may be in it or not.
        page = ChannelsPage(request.request, page=0, last=True, channels="", members_upto=self._partitions.members_upto)
        packed = await self._packed(request.user_id) if self._knows(request) else b""
        if not self._knows(request):
            return iter([msgspec.structs.replace(page, known=False)])
        return _divided(page, packed)

    def _knows(self, request: ChannelsRequest) -> bool:
        user_id = request.user_id
        return request.instance in self._engine.locations(user_id) and not self._presence_applier.is_pending(user_id)

    async def _packed(self, user_id: str) -> bytes:
        if self._engine.membership_count(user_id) > INLINE_CHANNELS:
            return await asyncio.to_thread(self._engine.packed_channels, user_id)
        return self._engine.packed_channels(user_id)


def _divided(page: ChannelsPage, packed: bytes) -> Iterator[ChannelsPage]:
    """The pages of a list, each cut behind an id."""
    begin, number = 0, 0
    while True:
        rest = len(packed) - begin
        end = len(packed) if rest <= PAGE_BYTES else packed.rindex(b" ", begin, begin + PAGE_BYTES)
        last = end == len(packed)
        channels = packed[begin:end].decode("ascii")
        yield msgspec.structs.replace(page, page=number, last=last, channels=channels)
        if last:
            return
        begin, number = end + 1, number + 1
