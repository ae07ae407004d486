"""The answer to a log of membership changes that went back a long way. Contract section 4.

The gateways publish again the changes that are at most `REPUBLISHED_S` old. If the log has lost older ones, the
table is loaded from the membership store.
"""

import asyncio
from collections.abc import Callable

import structlog

from fanout import Engine, machine
from fanout.log_record import REPUBLISHED_S
from fanout.ports.log import Reset
from fanout.streams import STREAMS
from services.fan_out.presence_applier import PresenceApplier
from services.runtime.tasks import Tasks
from services.runtime.time_slice import TimeSlice

log = structlog.get_logger(__name__)


class LogResets:
    """Loads the whole table from the membership store where the log no longer holds all that the table lacks."""

    def __init__(
        self,
        engine: Engine,
        presence_applier: PresenceApplier,
        tasks: Tasks,
        *,
        clock: Callable[[], float] = machine.wall_s,
    ) -> None:
        self._engine = engine
        self._presence_applier = presence_applier
        self._tasks = tasks
        self._clock = clock
        self._slice = TimeSlice()
        self._loads = 0

    @property
    def is_loading(self) -> bool:
        """Whether the table is being loaded again."""
        return self._loads > 0

    def hear(self, reset: Reset) -> None:
        """Handle a reset of the log, as the listener of `Log.on_reset`."""
        spec = STREAMS[reset.stream]
        if spec.changes_memberships and self._clock() - reset.survived_ns / 1e9 > REPUBLISHED_S:
            self._loads += 1
            self._tasks.start(self._load_again(), "loading the table again")

    async def _load_again(self) -> None:
        try:
            await self._reload_everything()
        finally:
            self._loads -= 1

    async def _reload_everything(self) -> None:
        await asyncio.to_thread(self._engine.forget_cached)
        users = 0
        for instance_id in sorted(self._engine.occupied_instances()):
            users += await self._reload_all(instance_id)
        await self._presence_applier.settled()
        log.info("the table was loaded again, because the log went back", users=users)

    async def _reload_all(self, instance_id: str) -> int:
        """Reload every user of an instance. Return their number.

        The users come in pages, because all at once would block the event loop.
        """
        count, after = 0, None
        while True:
            users, after = self._engine.users_page(instance_id, after)
            for user_id in users:
                self._presence_applier.reload(user_id)
                await self._slice.breathe()
            count += len(users)
            if after is None:
                return count
