"""The presence applier: brings the table to the presence of users, as they come to instances and leave them."""

import asyncio
from collections.abc import Callable
from itertools import islice
from typing import Any

import structlog

from fanout import Engine, MembershipUnknown, TableFull, Unavailable, packed_ids
from fanout.ports.memberships import Memberships
from fanout.workers import PresenceChange
from services.fan_out.metrics import USERS_PLACED, USERS_REFUSED
from services.fan_out.pending_users import PendingUsers
from services.fan_out.routing_confirmations import RoutingConfirmations
from services.runtime.tasks import Tasks, periodic, retry_forever
from services.runtime.time_slice import TimeSlice

log = structlog.get_logger(__name__)

CONCURRENT_LOADS = 32
TELL_PENDING_EVERY_S = 0.5
MOST_TOLD = 1_000
"""Users that instances are told of each time: those who have waited for longest."""
MOST_LOOKED_AT = 10_000
"""Users who are looked at for that. After a loss of the log many of them are loaded again, and do not arrive."""
INLINE_CHANNELS = 2_000
"""A thread moves the users of more channels. The engine releases the GIL meanwhile, so the event loop goes on."""


class PresenceApplier:
    """Applies the desired state of each user, one user at a time, and confirms to the instance when it is done.

    Hints may come in bursts, twice, or while the user's channels are being loaded. So a hint only sets the desired
    state of a user: on which instances the user is to be. One task for each pending user brings the table to it. A
    membership that changes during a load makes the task load the channels again.

    Args:
        engine: has the table.
        memberships: the store, from which unknown channels are loaded.
        confirmations: to the instances.
        tasks: runs the loads.
    """

    def __init__(
        self, engine: Engine, memberships: Memberships, confirmations: RoutingConfirmations, tasks: Tasks
    ) -> None:
        self._engine = engine
        self._memberships = memberships
        self._confirmations = confirmations
        self._tasks = tasks
        self._desired: dict[str, dict[str, PresenceChange]] = {}
        """By user and instance: the newest change. Without what was applied already."""
        self._pending = PendingUsers()
        self._moving: set[str] = set()
        self._stale: set[str] = set()
        """Users whose membership changed since their load began."""
        self._to_reload: set[str] = set()
        self._to_load: asyncio.Queue[str] = asyncio.Queue()
        self._store_answers = True
        """Whether the newest list that was asked for came."""
        self._failed: set[str] = set()
        """Users whose list did not come when it was last asked for."""
        self._slice = TimeSlice()

    def start(self) -> None:
        """Begin to load. A whole presence set may come at once, so users wait in a queue and not in a task each."""
        for number in range(CONCURRENT_LOADS):
            self._tasks.start(self._load_queued(), f"loading memberships {number}")
        told = periodic(TELL_PENDING_EVERY_S, self._tell_pending, "notifying instances of loads")
        self._tasks.start(told, "notices of loads")

    def change(self, change: PresenceChange) -> None:
        """Set the desired state of a user on an instance; the table follows soon."""
        self._desired.setdefault(change.user_id, {})[change.instance_id] = change
        if change.user_id not in self._pending:
            self._begin(change.user_id)

    def is_pending(self, user_id: str) -> bool:
        """Whether the table does not have the user as desired yet."""
        return user_id in self._pending

    def is_expected(self, change: PresenceChange) -> bool:
        """Whether the table has what a change says, or is being brought to it by an earlier change."""
        before = self._desired.get(change.user_id, {}).get(change.instance_id)
        if before is None:
            return change.online == (change.instance_id in self._engine.locations(change.user_id))
        return before.online == change.online

    def is_changing(self, instance_id: str) -> bool:
        """Whether a change of a user on this instance is not applied yet."""
        return any(instance_id in desired for desired in self._desired.values())

    def is_moving(self, user_id: str) -> bool:
        """Whether a thread adds or removes the user now. The engine blocks a change of the user meanwhile."""
        return user_id in self._moving

    def membership_changed(self, user_id: str) -> None:
        """The user's channels changed: a list that is being loaded now may be too old."""
        if user_id in self._pending:
            self._stale.add(user_id)

    def reload(self, user_id: str) -> None:
        """Load the channels of a user in the table from the store again, whatever the table has."""
        self._to_reload.add(user_id)
        if user_id not in self._pending:
            self._desired.setdefault(user_id, {})
            self._pending.begin(user_id)
            self._to_load.put_nowait(user_id)

    def forget(self, user_id: str) -> None:
        """Drop the user's channels from the cache, so that they are loaded when the user comes online again."""
        self._engine.forget(user_id)

    async def drop_instance(self, instance_id: str) -> int:
        """Remove an instance and its users from the table, in a thread because they may be many.

        No change of this instance may be made meanwhile.

        Returns:
            the number of its users.
        """
        for desired in list(self._desired.values()):
            desired.pop(instance_id, None)
            await self._slice.breathe()
        evicted = await asyncio.to_thread(self._engine.drop_instance, instance_id)
        self._count()
        return evicted

    async def settled(self) -> None:
        """Return when every change that came before this call was applied."""
        await self._pending.settled()

    def _begin(self, user_id: str) -> None:
        self._pending.begin(user_id)
        if not self._has_many_channels(user_id) and self._apply_without_loading(user_id):
            self._end(user_id)
        else:
            self._to_load.put_nowait(user_id)

    def _end(self, user_id: str) -> None:
        self._stale.discard(user_id)
        self._desired.pop(user_id, None)
        self._pending.end(user_id)
        self._count()

    def _apply_without_loading(self, user_id: str) -> bool:
        """Apply what needs no store: departures, and users whose channels are known. Return whether that was all."""
        desired = self._desired[user_id]
        for instance_id, change in list(desired.items()):
            try:
                self._apply(change)
            except (MembershipUnknown, TableFull):
                continue
            del desired[instance_id]
        return not desired

    def _apply(self, change: PresenceChange) -> None:
        if change.online:
            self._engine.user_online(change.user_id, change.instance_id)
            self._confirmations.confirm(change)
        else:
            self._engine.user_offline(change.user_id, change.instance_id)

    async def _apply_in_a_thread(self, user_id: str) -> bool:
        """Do the same for a user of many channels, whose desired state may change meanwhile."""
        desired = self._desired[user_id]
        while (first := next(iter(desired.items()), None)) is not None:
            instance_id, change = first
            move = self._engine.user_online if change.online else self._engine.user_offline
            try:
                await self._move(move, user_id, instance_id)
            except MembershipUnknown:
                return False
            if instance_id not in desired:
                await self._move(self._engine.user_offline, user_id, instance_id)  # it was dropped meanwhile
            elif desired[instance_id].online == change.online:
                newest = desired.pop(instance_id)
                if newest.online:
                    self._confirmations.confirm(newest)
        return True

    async def _move(self, move: Callable[..., int], user_id: str, *where: Any) -> None:
        self._moving.add(user_id)
        try:
            await asyncio.to_thread(move, user_id, *where)
        finally:
            self._moving.discard(user_id)

    def _has_many_channels(self, user_id: str) -> bool:
        return self._engine.membership_count(user_id) > INLINE_CHANNELS

    async def _load_queued(self) -> None:
        while True:
            user_id = await self._to_load.get()
            try:
                await self._bring_about(user_id)
            except TableFull as error:
                # The user is not confirmed, and comes again with the next repair of the instance's presence set.
                USERS_REFUSED.inc()
                log.warning("no room for a user in the routing table", user_id=user_id, reason=str(error))
            self._end(user_id)
            await self._slice.breathe()

    async def _bring_about(self, user_id: str) -> None:
        """Bring the table to the desired state of a user, also where that changes meanwhile."""
        while True:
            await self._reload_if_asked(user_id)
            if not await self._applied(user_id):
                await self._add(user_id, await self._load(user_id))
            elif user_id not in self._to_reload:
                return

    async def _applied(self, user_id: str) -> bool:
        if self._has_many_channels(user_id):
            return await self._apply_in_a_thread(user_id)
        return self._apply_without_loading(user_id)

    async def _reload_if_asked(self, user_id: str) -> None:
        while user_id in self._to_reload:
            self._to_reload.discard(user_id)
            channels = await self._load(user_id)
            self.forget(user_id)
            if (instance_id := next(iter(self._engine.locations(user_id)), None)) is not None:
                # The list that is given replaces the user's list for every instance.
                await self._set_channels(user_id, instance_id, channels)

    async def _set_channels(self, user_id: str, instance_id: str, channels: bytes) -> None:
        if packed_ids.count(channels) <= INLINE_CHANNELS:
            self._engine.user_online(user_id, instance_id, channels)
            return
        await self._move(self._engine.user_online, user_id, instance_id, channels)
        if user_id in self._stale:
            self._to_reload.add(user_id)

    async def _load(self, user_id: str) -> bytes:
        while True:
            self._stale.discard(user_id)
            channels = await retry_forever(lambda: self._read(user_id), "loading memberships")
            if user_id not in self._stale:
                return channels

    async def _read(self, user_id: str) -> bytes:
        try:
            channels = await self._memberships.packed_channels_of(user_id)
        except Unavailable:
            self._store_answers = False
            self._failed.add(user_id)
            raise
        self._store_answers = True
        self._failed.discard(user_id)
        return channels

    async def _tell_pending(self) -> None:
        """Notify the instances of users who wait for a list, because they wait for a worker that says so."""
        if self._store_answers and (arrivals := await self._pending_arrivals()):
            await self._confirmations.tell_pending(arrivals)

    async def _pending_arrivals(self) -> list[PresenceChange]:
        arrivals: list[PresenceChange] = []
        for user_id in list(islice(self._pending, MOST_LOOKED_AT)):
            if user_id not in self._failed:
                arrivals += [change for change in self._desired.get(user_id, {}).values() if change.online]
            if len(arrivals) >= MOST_TOLD:
                break
            await self._slice.breathe()
        return arrivals

    async def _add(self, user_id: str, channels: bytes) -> None:
        """Add a user whose channels were unknown to the first instance that the user is to be on.

        The desired state stays as it is: the next round finds the channels known, and confirms the user or, where the
        state has changed, removes the user.
        """
        desired = self._desired[user_id]
        instance_id = next((instance for instance, change in desired.items() if change.online), None)
        if instance_id is None:
            return
        if packed_ids.count(channels) <= INLINE_CHANNELS:
            self._engine.user_online(user_id, instance_id, channels)
            return
        await self._move(self._engine.user_online, user_id, instance_id, channels)
        if user_id in self._stale or instance_id not in desired:
            self.forget(user_id)
            await self._move(self._engine.user_offline, user_id, instance_id)

    def _count(self) -> None:
        USERS_PLACED.set(self._engine.stats()["users"])
