"""Publishes changes that one device of a user made, for the user's other devices."""

import structlog
from prometheus_client import Counter

from fanout.errors import TooLarge, Unavailable
from fanout.ports.bus import Bus
from fanout.subjects import user_sync
from fanout.user_sync import UserNotice, encode_user_notice

log = structlog.get_logger(__name__)

NOT_TOLD = Counter(
    "fanout_user_sync_unpublished_total",
    "Notices between the devices of a user that could not be published: the bus was away, or they were too long",
)


class UserSync:
    """Publishes notices. The change that a notice is about is stored already, so a failure is no error of the caller.

    Args:
        bus: carries the notices to the fan-out workers.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def publish(self, notice: UserNotice) -> None:
        """Publish a notice."""
        try:
            await self._bus.publish(user_sync(notice.user_id), encode_user_notice(notice))
        except (Unavailable, TooLarge) as error:
            NOT_TOLD.inc()
            log.warning("other devices are not told of a change now", user_id=notice.user_id, reason=str(error))
