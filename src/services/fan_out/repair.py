"""Repair of the table: it is brought to the presence set that an instance sent."""

import asyncio
from collections.abc import Callable

from fanout import Engine
from fanout.workers import PresenceChange
from services.fan_out.presence_applier import PresenceApplier
from services.fan_out.presence_set import PresenceSetTransfer
from services.runtime.time_slice import TimeSlice


class Repair:
    """Compares presence sets with the table and hands the differences to the presence applier.

    One repair runs at a time, in time slices, because an instance may have any number of users.
    """

    def __init__(self, engine: Engine, presence_applier: PresenceApplier) -> None:
        self._engine = engine
        self._presence_applier = presence_applier
        self._lock = asyncio.Lock()
        self._slice = TimeSlice()

    async def run(self, instance_id: str, transfer: PresenceSetTransfer, is_current: Callable[[], bool]) -> int:
        """Hand every difference to the presence applier. Users of whom there is a newer hint stay as they are.

        A user of the presence set whose last change is not applied yet is handed over: that may be a departure.

        Args:
            instance_id: whose presence set it is.
            transfer: the complete presence set; its users are consumed.
            is_current: whether the instance is still the one that sent it. The repair ends where it is not.

        Returns:
            how many changes were handed over that the presence applier did not expect.
        """
        async with self._lock:
            departed = await self._only_in_the_table(instance_id, transfer.users)
            arrived = transfer.users
            repaired = 0
            while departed or arrived:
                online = not departed
                user_id = arrived.popitem()[0] if online else departed.pop()
                if not is_current():
                    break
                if transfer.is_news_of(user_id):
                    change = PresenceChange(user_id, online, instance_id, transfer.incarnation, transfer.announced)
                    repaired += not self._presence_applier.is_expected(change)
                    self._presence_applier.change(change)
                await self._slice.breathe()
            return repaired

    async def _only_in_the_table(self, instance_id: str, presence_set: dict[str, None]) -> list[str]:
        """The users that only the table has on the instance. Those that both have and keep are taken out of the set."""
        departed: list[str] = []
        after: int | None = None
        while True:
            users, after = self._engine.users_page(instance_id, after)
            for user_id in users:
                if user_id in presence_set:
                    if not self._presence_applier.is_pending(user_id):
                        del presence_set[user_id]
                else:
                    departed.append(user_id)
            if after is None:
                return departed
            await self._slice.breathe()
