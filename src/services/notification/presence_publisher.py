"""Publishes changes of users' presence, all of one turn of the event loop together."""

import asyncio
from collections.abc import Iterable

import msgspec
import structlog

from fanout import Unavailable
from fanout.ports.bus import Bus
from fanout.ports.presence import UserPresence
from fanout.presence_changes import PresenceChanged
from fanout.subjects import presence_changed

log = structlog.get_logger(__name__)


class PresencePublisher:
    """Publishes each change once, and forgets it.

    The store keeps a change until a worker has told it, and `PresenceSweep` publishes it again.

    Args:
        bus: carries the changes.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: dict[str, UserPresence] = {}
        self._wake = asyncio.Event()

    def publish(self, changes: Iterable[UserPresence]) -> None:
        """Publish changes soon. Of a user's changes that wait, the newest is published."""
        for change in changes:
            held = self._waiting.get(change.user_id)
            if held is None or held.version < change.version:
                self._waiting[change.user_id] = change
                self._wake.set()

    async def run(self) -> None:
        """Publish what waits, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            waiting, self._waiting = self._waiting, {}
            await self._publish(waiting.values())

    async def _publish(self, changes: Iterable[UserPresence]) -> None:
        messages = [
            (presence_changed(change.user_id), msgspec.json.encode(PresenceChanged.of(change))) for change in changes
        ]
        try:
            await self._bus.publish_many(messages)
        except Unavailable as error:
            log.debug("changes of presence are published later", changes=len(messages), reason=str(error))
