"""Confirmations to instances: this worker routes the messages of these users to them."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

import msgspec
import structlog

from fanout import Unavailable
from fanout.ports.bus import Bus
from fanout.subjects import instance_control
from fanout.workers import RoutingConfirmed, user_pages
from services.runtime.tasks import Tasks

log = structlog.get_logger(__name__)


class RoutingConfirmations:
    """Collects the users of one turn of the event loop, so that an instance gets few messages for many users.

    A confirmation may be lost. The instance then announces the user again, and the user is confirmed again.

    Args:
        worker_id: this worker.
        bus: carries the confirmations.
        tasks: runs the publication.
    """

    def __init__(self, worker_id: str, bus: Bus, tasks: Tasks) -> None:
        self._worker_id = worker_id
        self._bus = bus
        self._tasks = tasks
        self._collected: defaultdict[str, list[str]] = defaultdict(list)

    def confirm(self, user_id: str, instance_id: str) -> None:
        """Confirm to an instance that its user's messages are routed to it, at the end of this turn of the loop."""
        if not self._collected:
            asyncio.get_running_loop().call_soon(self._send)
        self._collected[instance_id].append(user_id)

    def _send(self) -> None:
        confirmed, self._collected = self._collected, defaultdict(list)
        self._tasks.start(self._publish(confirmed), "confirming routing")

    async def _publish(self, confirmed: dict[str, list[str]]) -> None:
        messages = [
            (instance_control(instance_id), self._encoded(page))
            for instance_id, users in confirmed.items()
            for page in user_pages(users, self._bus.max_payload)
        ]
        try:
            await self._bus.publish_many(messages)
        except Unavailable as error:
            log.warning("routing is not confirmed; instances announce the users again", reason=str(error))

    def _encoded(self, users: Sequence[str]) -> bytes:
        return msgspec.json.encode(RoutingConfirmed(self._worker_id, list(users)))
