"""Notices between the devices of one user: routed to the instances that the user is on, and never stored."""

from fanout import Engine, partition_of
from fanout.ids import check_id
from fanout.ports.bus import Bus
from fanout.subjects import USER_SYNC, user_of
from fanout.user_sync import decode_user_notice
from services.fan_out.publisher import Publisher
from services.fan_out.worker_group import WorkerGroup
from services.runtime.skipping import skip
from services.runtime.tasks import retry_forever


class UserSyncRouter:
    """Routes a notice to every instance that the user is on, so that no instance subscribes for each of its users.

    Each worker hears each notice. The worker that reads the partition which a channel of the user's id would be in
    routes it; all of them do while nobody reads it, since an instance drops what it has told already. A notice is not
    dropped while the bus is congested: it is small, and few come for each user.
    """

    def __init__(
        self, engine: Engine, bus: Bus, worker_group: WorkerGroup, publisher: Publisher, partition_count: int
    ) -> None:
        self._engine = engine
        self._bus = bus
        self._worker_group = worker_group
        self._publisher = publisher
        self._partition_count = partition_count

    async def listen(self) -> None:
        """Subscribe to the notices."""
        await retry_forever(lambda: self._bus.subscribe(USER_SYNC, self._hear), "listening to user.sync")

    def _hear(self, subject: str, payload: bytes) -> None:
        try:
            user_id = check_id(user_of(subject), "user_id")
            if not self._worker_group.is_responsible(partition_of(user_id, self._partition_count)):
                return
            decode_user_notice(payload, user_id)
            is_routed = self._engine.route_user(user_id, payload) > 0
        except ValueError as error:
            skip("user_sync", error)
            return
        if is_routed:
            self._publisher.poke()
