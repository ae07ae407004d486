"""The routing barrier: a user is admitted when every fan-out worker routes the user's messages to this instance."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import structlog

from fanout import machine
from fanout.keys import PresenceChange
from fanout.ports.bus import Bus
from fanout.ports.presence import Hints
from fanout.subjects import WORKERS
from fanout.workers import RoutingConfirmed, decode_notice
from services.runtime.skipping import skip
from services.runtime.tasks import retry_forever

log = structlog.get_logger(__name__)

FIRST_NOTICE_WITHIN_S = 1.0
SILENT_AFTER_S = 1.6
ANNOUNCE_AGAIN_AFTER_S = (0.25, 0.5, 1.0, 1.5)
"""Seconds. A hint may be lost, so it is repeated. After the last of these the client is admitted without the
confirmation, which `UserRouting` then waits for."""


@dataclass(eq=False)
class _Waiting:
    confirmed: set[str] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class RoutingBarrier:
    """Announces that a user is here, until every worker that reads events confirms that it routes to this instance.

    Args:
        instance_id: this instance.
        hints: reach the workers.
        bus: carries the notices by which workers show that they are alive.
        clock: monotonic seconds.
    """

    def __init__(
        self, instance_id: str, hints: Hints, bus: Bus, *, clock: Callable[[], float] = machine.monotonic_s
    ) -> None:
        self._instance_id = instance_id
        self._hints = hints
        self._bus = bus
        self._clock = clock
        self._workers: dict[str, float] = {}
        self._heard = asyncio.Event()
        self._waiting: dict[str, _Waiting] = {}

    async def listen(self) -> None:
        """Subscribe to the notices of the workers, and wait up to a second for the first one."""
        await retry_forever(lambda: self._bus.subscribe(WORKERS, self._hear), "listening to the workers")
        try:
            async with asyncio.timeout(FIRST_NOTICE_WITHIN_S):
                await self._heard.wait()
        except TimeoutError:
            log.warning("no fan-out worker is heard; clients get no events until there is one")

    def confirm(self, notice: RoutingConfirmed) -> None:
        """Take the confirmation of a worker that it routes to this instance for some users."""
        for user_id in notice.users:
            if (waiting := self._waiting.get(user_id)) is not None:
                waiting.confirmed.add(notice.worker)
                waiting.changed.set()

    async def announce_until_confirmed(self, user_id: str) -> bool:
        """Notify the workers of a user's first connection here, and wait some seconds for their confirmations.

        Returns:
            whether every worker has confirmed.

        Raises:
            Unavailable: the presence store does not answer.
        """
        waiting = self._waiting[user_id] = _Waiting()
        try:
            for patience in ANNOUNCE_AGAIN_AFTER_S:
                await self._announce(user_id, online=True)
                if await self._confirmed(waiting, patience):
                    return True
        finally:
            del self._waiting[user_id]
        return False

    async def announce_departure(self, user_id: str) -> None:
        """Notify the workers that a user's last connection here has gone. Nothing waits for their answer.

        Raises:
            Unavailable: the presence store does not answer.
        """
        await self._announce(user_id, online=False)

    async def _announce(self, user_id: str, *, online: bool) -> None:
        await self._hints.announce([PresenceChange(user_id, online, self._instance_id)])

    async def _confirmed(self, waiting: _Waiting, patience: float) -> bool:
        try:
            async with asyncio.timeout(patience):
                while not self._readers() <= waiting.confirmed:
                    waiting.changed.clear()
                    await waiting.changed.wait()
        except TimeoutError:
            return self._readers() <= waiting.confirmed
        return True

    def _readers(self) -> set[str]:
        oldest = self._clock() - SILENT_AFTER_S
        heard = {worker: at for worker, at in self._workers.items() if at >= oldest}
        # Workers that stop say so. If all are silent, it is more likely that this process or the bus is the cause.
        self._workers = heard or self._workers
        return set(self._workers)

    def _hear(self, _subject: str, payload: bytes) -> None:
        try:
            notice = decode_notice(payload)
        except msgspec.DecodeError as error:
            skip("worker_notice", error)
            return
        self._heard.set()
        if notice.ready:
            self._workers[notice.worker] = self._clock()
        else:
            self._workers.pop(notice.worker, None)
