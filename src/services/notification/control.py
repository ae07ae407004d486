"""Control messages: the requests of workers and other instances to this instance, beside events."""

import asyncio
from collections.abc import Iterator

import msgspec
import structlog
from msgspec.structs import replace

from fanout import TooLarge, Unavailable
from fanout.ports.bus import Bus
from fanout.subjects import PRESENCE_DIGESTS, instance_control, worker_inbox
from fanout.workers import (
    ChannelsPage,
    PresenceDigest,
    PresenceSetPage,
    PresenceSetRequest,
    Replaced,
    RoutingConfirmed,
    RoutingPending,
    SessionLost,
    decode_control,
    user_pages,
)
from services.notification.channel_lists import ChannelLists
from services.notification.device_sessions import DeviceSessions
from services.notification.registry import Registry
from services.notification.routing_barrier import RoutingBarrier
from services.runtime.skipping import skip
from services.runtime.tasks import Tasks, retry_forever

log = structlog.get_logger(__name__)


class Control:
    """Says which users are connected here, and ends sessions that have lost their device."""

    def __init__(
        self,
        instance_id: str,
        incarnation: str,
        bus: Bus,
        registry: Registry,
        routing_barrier: RoutingBarrier,
        channel_lists: ChannelLists,
        device_sessions: DeviceSessions,
        tasks: Tasks,
    ) -> None:
        self._instance_id = instance_id
        self._incarnation = incarnation
        self._bus = bus
        self._registry = registry
        self._routing_barrier = routing_barrier
        self._channel_lists = channel_lists
        self._device_sessions = device_sessions
        self._tasks = tasks
        self._stopped = False

    async def listen(self) -> None:
        """Subscribe to the control messages of this instance."""
        await retry_forever(
            lambda: self._bus.subscribe(instance_control(self._instance_id), self._hear),
            "listening to requests",
        )

    async def publish_digest(self) -> None:
        """Publish the digest of the presence set, which is the sign of life. After `say_stopped` this does nothing."""
        if not self._stopped:
            await self._publish_digest()

    async def say_stopped(self) -> None:
        """Notify the workers that no user is here any more, so that they need not wait for the lease to end.

        If the bus is away, they notice that the digests stop.
        """
        self._stopped = True
        try:
            await self._publish_digest()
        except Unavailable as error:
            log.warning("workers could not be notified that the instance stops", reason=str(error))

    async def _publish_digest(self) -> None:
        users, digest = self._registry.digest()
        notice = PresenceDigest(self._instance_id, self._incarnation, users, digest, stopped=self._stopped)
        await self._bus.publish(PRESENCE_DIGESTS, msgspec.json.encode(notice))

    def _hear(self, _subject: str, payload: bytes) -> None:
        try:
            message = decode_control(payload)
        except msgspec.DecodeError as error:
            skip("control", error)
            return
        match message:
            case RoutingConfirmed():
                self._routing_barrier.confirm(message)
            case RoutingPending():
                self._routing_barrier.pend(message)
            case ChannelsPage():
                self._channel_lists.hear(message)
            case PresenceSetRequest():
                self._tasks.start(self._send_presence_set(message), "sending the presence set")
            case SessionLost():
                self._device_sessions.lose(message)
            case Replaced():
                self._replace(message)

    def _replace(self, notice: Replaced) -> None:
        for session in self._registry.sessions_of(notice.user_id):
            if session.device_id == notice.device_id:
                session.replaced_by(notice.order)

    async def _send_presence_set(self, request: PresenceSetRequest) -> None:
        # The event loop continues between two pages.
        subject = worker_inbox(request.worker)
        try:
            for page in self._pages(request):
                await self._bus.publish(subject, msgspec.json.encode(page))
                await asyncio.sleep(0)
        except (Unavailable, TooLarge) as error:
            log.warning("presence set not sent; the worker asks again", reason=str(error))

    def _pages(self, request: PresenceSetRequest) -> Iterator[PresenceSetPage]:
        page = PresenceSetPage(
            instance=self._instance_id,
            incarnation=self._incarnation,
            request=request.request,
            page=0,
            last=True,
            users=[],
            announced=self._routing_barrier.announced,
        )
        if request.known is not None and request.known == self._registry.digest():
            yield replace(page, unchanged=True)
            return
        pages = list(user_pages(self._registry.users(), self._bus.max_payload)) or [[]]
        for number, users in enumerate(pages):
            yield replace(page, page=number, last=number == len(pages) - 1, users=list(users))
