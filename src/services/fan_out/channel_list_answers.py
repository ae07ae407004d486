"""The channels of users, for the instances that have them: so an instance need not read them from the store again."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

import msgspec
import structlog

from fanout import Engine, TooLarge, Unavailable, machine, packed_ids
from fanout.ports.bus import Bus
from fanout.subjects import channel_lists, instance_control
from fanout.workers import ANSWERED_WITHIN_S, ChannelsPage, ChannelsRequest, decode_channels_request
from services.fan_out.metrics import CHANNEL_LISTS_ANSWERED
from services.fan_out.partitions import Partitions
from services.fan_out.presence_applier import INLINE_CHANNELS, PresenceApplier
from services.runtime.skipping import skip
from services.runtime.tasks import Tasks, retry_forever

log = structlog.get_logger(__name__)

_ENVELOPE: Final = 512
"""An upper bound of the bytes that a page has beside its channels."""
SENT_AT_ONCE: Final = 4
"""Lists that are on their way at a time."""
MOST_WAITING: Final = 1_000
"""Requests that wait. Who asks beyond that gets no answer, and reads the store."""
_PAGES_AHEAD: Final = 8
"""Pages after which the bus has to have taken all: what waits in its client would hold up other messages."""


class ChannelListAnswers:
    """Answers the instances that ask for the channels of their users.

    Args:
        worker_id: this worker.
        engine: has the table.
        presence_applier: knows the users of whom a change is pending.
        partitions: know up to where membership changes are applied.
        bus: carries the requests and the pages.
        tasks: runs the answers.
        is_current: whether the table is true: complete, and not being loaded again after a loss of the log.
    """

    def __init__(
        self,
        worker_id: str,
        engine: Engine,
        presence_applier: PresenceApplier,
        partitions: Partitions,
        bus: Bus,
        tasks: Tasks,
        is_current: Callable[[], bool],
    ) -> None:
        self._worker_id = worker_id
        self._engine = engine
        self._presence_applier = presence_applier
        self._partitions = partitions
        self._bus = bus
        self._tasks = tasks
        self._is_current = is_current
        self._requests: asyncio.Queue[tuple[float, ChannelsRequest]] = asyncio.Queue(MOST_WAITING)

    async def listen(self) -> None:
        """Subscribe to the requests, and begin to answer."""
        for number in range(SENT_AT_ONCE):
            self._tasks.start(self._answer_queued(), f"sending channels {number}")
        subject = channel_lists(self._worker_id)
        await retry_forever(lambda: self._bus.subscribe(subject, self._hear), "listening to requests for channels")

    def _hear(self, _subject: str, payload: bytes) -> None:
        try:
            request = decode_channels_request(payload)
        except msgspec.DecodeError as error:
            skip("channels_request", error)
            return
        if self._requests.full():
            CHANNEL_LISTS_ANSWERED.labels("none").inc()
        else:
            self._requests.put_nowait((machine.monotonic_s(), request))

    async def _answer_queued(self) -> None:
        while True:
            asked, request = await self._requests.get()
            is_awaited = machine.monotonic_s() - asked < ANSWERED_WITHIN_S
            CHANNEL_LISTS_ANSWERED.labels(await self._answer(request) if is_awaited else "none").inc()

    async def _answer(self, request: ChannelsRequest) -> str:
        """Send the pages. Return the answer for the metric."""
        subject, answer = instance_control(request.instance), "sent"
        try:
            for page in await self._pages(request):
                await self._bus.publish(subject, msgspec.json.encode(page))
                await self._pause_after(page)
                answer = "sent" if page.known else "unknown"
        except (Unavailable, TooLarge) as error:
            log.info("channels not sent; the instance reads them from the store", reason=str(error))
            return "failed"
        return answer

    async def _pause_after(self, page: ChannelsPage) -> None:
        if (page.page + 1) % _PAGES_AHEAD:
            await asyncio.sleep(0)
        else:
            await self._bus.ping()

    async def _pages(self, request: ChannelsRequest) -> Iterator[ChannelsPage]:
        # Taken before the list is read: a change that is applied meanwhile may be in it or not.
        page = ChannelsPage(request.request, page=0, last=True, channels="", members_upto=self._partitions.members_upto)
        packed = await self._packed(request.user_id) if self._knows(request) else b""
        if not self._knows(request) or packed_ids.count(packed) != self._engine.membership_count(request.user_id):
            return iter([msgspec.structs.replace(page, known=False)])
        return _divided(page, packed, min(packed_ids.PIECE_BYTES, self._bus.max_payload - _ENVELOPE))

    def _knows(self, request: ChannelsRequest) -> bool:
        """Whether the table has the user where the request says, and stays so as far as is known."""
        user_id = request.user_id
        is_there = request.instance in self._engine.locations(user_id)
        return self._is_current() and is_there and not self._presence_applier.is_pending(user_id)

    async def _packed(self, user_id: str) -> bytes:
        if self._engine.membership_count(user_id) > INLINE_CHANNELS:
            return await asyncio.to_thread(self._engine.packed_channels, user_id)
        return self._engine.packed_channels(user_id)


def _divided(page: ChannelsPage, packed: bytes, size: int) -> Iterator[ChannelsPage]:
    """The pages of a list, of at most so many bytes of ids. An empty list is one page, too."""
    left = len(packed)
    for number, piece in enumerate(packed_ids.pieces(packed, size) if packed else [b""]):
        left -= len(piece) + 1  # and the space behind it, which the last one lacks
        yield msgspec.structs.replace(page, page=number, last=left < 0, channels=piece.decode("ascii"))
