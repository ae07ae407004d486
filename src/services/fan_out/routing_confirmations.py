"""Confirmations to instances: this worker routes the messages of these users to them."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable

import msgspec
import structlog

from fanout import Unavailable
from fanout.ports.bus import Bus
from fanout.subjects import instance_control
from fanout.workers import PresenceChange, RoutingConfirmed, RoutingPending, user_pages
from services.runtime.tasks import Tasks

log = structlog.get_logger(__name__)


class RoutingConfirmations:
    """Collects the users of one turn of the event loop, so that an instance gets few messages for many users.

    A confirmation may be lost. The instance then announces the user again, and the user is confirmed again.

    Args:
        worker_id: this worker.
        bus: carries the confirmations.
        tasks: runs the publication.
        members_upto: the position of META up to which every membership change was applied.
    """

    def __init__(self, worker_id: str, bus: Bus, tasks: Tasks, members_upto: Callable[[], int]) -> None:
        self._worker_id = worker_id
        self._bus = bus
        self._tasks = tasks
        self._members_upto = members_upto
        self._collected: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        """By instance and incarnation: the users, each with the number of the newest change."""

    def confirm(self, arrival: PresenceChange) -> None:
        """Confirm to an instance that its user's messages are routed to it, at the end of this turn of the loop."""
        if not self._collected:
            asyncio.get_running_loop().call_soon(self._send)
        self._collected[arrival.instance_id, arrival.incarnation][arrival.user_id] = arrival.number

    async def tell_pending(self, arrivals: Iterable[PresenceChange]) -> None:
        """Notify instances that the channels of these users of theirs are being loaded.

        Raises:
            Unavailable: the bus does not answer.
        """
        users: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for arrival in arrivals:
            users[arrival.instance_id, arrival.incarnation].append(arrival.user_id)
        await self._bus.publish_many(
            [
                (instance_control(instance_id), msgspec.json.encode(RoutingPending(self._worker_id, incarnation, page)))
                for (instance_id, incarnation), of in users.items()
                for page in map(list, user_pages(of, self._bus.max_payload))
            ]
        )

    def _send(self) -> None:
        confirmed, self._collected = self._collected, defaultdict(dict)
        self._tasks.start(self._publish(confirmed), "confirming routing")

    async def _publish(self, confirmed: dict[tuple[str, str], dict[str, int]]) -> None:
        messages = [
            (instance_control(instance_id), self._encoded(incarnation, {user: users[user] for user in page}))
            for (instance_id, incarnation), users in confirmed.items()
            for page in user_pages(list(users), self._bus.max_payload)
        ]
        try:
            await self._bus.publish_many(messages)
        except Unavailable as error:
            log.warning("routing is not confirmed; instances announce the users again", reason=str(error))

    def _encoded(self, incarnation: str, users: dict[str, int]) -> bytes:
        return msgspec.json.encode(RoutingConfirmed(self._worker_id, incarnation, users, self._members_upto()))
