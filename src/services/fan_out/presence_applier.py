"""PresenceApplier: the table kept true as users come and go; spec section 7.2, in states instead of events."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import structlog

from fanout import Engine, MembershipUnknown, TableFull, Unavailable
from fanout.keys import PresenceChange
from fanout.ports.bus import Bus
from fanout.ports.memberships import Memberships
from fanout.subjects import instance_control
from fanout.workers import RoutingConfirmed, user_pages
from services.fan_out.metrics import USERS_PLACED, USERS_REFUSED
from services.runtime.tasks import Tasks, retry_forever
from services.runtime.time_slice import TimeSlice

log = structlog.get_logger(__name__)

CONCURRENT_LOADS = 32
INLINE_CHANNELS = 2_000
"""Users of more are placed and taken off by a thread: the core releases the GIL, and the event loop goes on."""


class PresenceApplier:
    """Applies the newest wish for each user, one user at a time, and tells the instance when it is done.

    Hints may come in bursts, out of order with a load that is under way, or twice. So a hint only sets what is wanted;
    one task per busy user brings the table to it, and a membership that changes during a load makes it load again.
    """

    def __init__(self, worker_id: str, engine: Engine, memberships: Memberships, bus: Bus, tasks: Tasks) -> None:
        self._worker_id = worker_id
        self._engine = engine
        self._memberships = memberships
        self._bus = bus
        self._tasks = tasks
        self._wanted: dict[str, dict[str, bool]] = {}
        self._busy: dict[str, int] = {}
        """Users whom the table does not have as wished yet, in the order in which they became so, each with its
        number in that order."""
        self._begun = 0
        self._moving: set[str] = set()
        self._stale: set[str] = set()
        self._to_reload: set[str] = set()
        self._to_load: asyncio.Queue[str] = asyncio.Queue()
        self._placed: defaultdict[str, list[str]] = defaultdict(list)
        self._progress = asyncio.Event()
        self._slice = TimeSlice()

    def start(self) -> None:
        """Begin to load. A whole roster may come at once, so users wait in a queue and not as a task each."""
        for number in range(CONCURRENT_LOADS):
            self._tasks.start(self._load_queued(), f"loading memberships {number}")

    def change(self, change: PresenceChange) -> None:
        """A user came to an instance or went; the table follows soon."""
        self._wanted.setdefault(change.user_id, {})[change.instance_id] = change.online
        if change.user_id not in self._busy:
            self._begin(change.user_id)

    def is_moving(self, user_id: str) -> bool:
        """Whether a thread places the user or takes the user off now: who changes the user meanwhile has to wait."""
        return user_id in self._moving

    def membership_changed(self, user_id: str) -> None:
        """The user's channels changed: a list being loaded now may be too old."""
        if user_id in self._busy:
            self._stale.add(user_id)

    def reload(self, user_id: str) -> None:
        """Have the channels of a user who is placed loaded from the store, whatever the table has."""
        self._to_reload.add(user_id)
        if user_id not in self._busy:
            self._wanted.setdefault(user_id, {})
            self._enqueue(user_id)

    def forget(self, user_id: str) -> None:
        """Have the user's channels loaded anew at the next arrival."""
        self._engine.forget(user_id)

    async def drop_instance(self, instance_id: str) -> int:
        """Evict an instance whole, in a thread since it may have many users; their number.

        Nothing may be changed there meanwhile.
        """
        for wishes in list(self._wanted.values()):
            wishes.pop(instance_id, None)
            await self._slice.breathe()
        evicted = await asyncio.to_thread(self._engine.drop_instance, instance_id)
        self._count()
        return evicted

    async def settled(self) -> None:
        """Return when every change that came before this call was applied."""
        last = self._begun
        while next(iter(self._busy.values()), last + 1) <= last:
            self._progress.clear()
            await self._progress.wait()

    def _begin(self, user_id: str) -> None:
        self._count_busy(user_id)
        if not self._is_long(user_id) and self._apply_without_loading(user_id):
            self._end(user_id)
        else:
            self._to_load.put_nowait(user_id)

    def _enqueue(self, user_id: str) -> None:
        self._count_busy(user_id)
        self._to_load.put_nowait(user_id)

    def _count_busy(self, user_id: str) -> None:
        self._begun += 1
        self._busy[user_id] = self._begun

    def _end(self, user_id: str) -> None:
        self._busy.pop(user_id, None)
        self._stale.discard(user_id)
        self._wanted.pop(user_id, None)
        self._progress.set()
        self._count()

    def _apply_without_loading(self, user_id: str) -> bool:
        """Apply what needs no store: departures, and users whose channels are known. Whether that was all."""
        wishes = self._wanted[user_id]
        for instance_id, online in list(wishes.items()):
            try:
                self._apply(user_id, instance_id, online=online)
            except (MembershipUnknown, TableFull):
                continue
            del wishes[instance_id]
        return not wishes

    def _apply(self, user_id: str, instance_id: str, *, online: bool) -> None:
        if online:
            self._engine.user_online(user_id, instance_id)
            self._confirm(user_id, instance_id)
        else:
            self._engine.user_offline(user_id, instance_id)

    async def _apply_long(self, user_id: str) -> bool:
        """`_apply_without_loading` for a user of many channels, whose wishes may change meanwhile."""
        wishes = self._wanted[user_id]
        while (wish := next(iter(wishes.items()), None)) is not None:
            instance_id, online = wish
            move = self._engine.user_online if online else self._engine.user_offline
            try:
                await self._by_thread(move, user_id, instance_id)
            except MembershipUnknown:
                return False
            if instance_id not in wishes:
                await self._by_thread(self._engine.user_offline, user_id, instance_id)  # it was dropped meanwhile
            elif wishes[instance_id] == online:
                del wishes[instance_id]
                if online:
                    self._confirm(user_id, instance_id)
        return True

    async def _by_thread(self, move: Callable[..., int], user_id: str, *where: Any) -> None:
        self._moving.add(user_id)
        try:
            await asyncio.to_thread(move, user_id, *where)
        finally:
            self._moving.discard(user_id)

    def _is_long(self, user_id: str) -> bool:
        return self._engine.membership_count(user_id) > INLINE_CHANNELS

    async def _load_queued(self) -> None:
        while True:
            user_id = await self._to_load.get()
            try:
                await self._bring_about(user_id)
            except TableFull as error:
                # Who is not placed is not confirmed, and is wished for again when rosters are compared.
                USERS_REFUSED.inc()
                log.warning("no room for a user in the routing table", user_id=user_id, reason=str(error))
            self._end(user_id)
            await self._slice.breathe()

    async def _bring_about(self, user_id: str) -> None:
        """Bring the table to what is wished of a user, whatever is wished meanwhile."""
        while True:
            await self._reload_if_wanted(user_id)
            if not await self._applied(user_id):
                await self._place(user_id, await self._load(user_id))
            elif user_id not in self._to_reload:
                return

    async def _applied(self, user_id: str) -> bool:
        return await self._apply_long(user_id) if self._is_long(user_id) else self._apply_without_loading(user_id)

    async def _reload_if_wanted(self, user_id: str) -> None:
        while user_id in self._to_reload:
            self._to_reload.discard(user_id)
            channels = await self._load(user_id)
            self.forget(user_id)
            if (instance_id := next(iter(self._engine.locations(user_id)), None)) is not None:
                # What is given replaces the list on every instance.
                await self._set_channels(user_id, instance_id, channels)

    async def _set_channels(self, user_id: str, instance_id: str, channels: list[str]) -> None:
        if len(channels) <= INLINE_CHANNELS:
            self._engine.user_online(user_id, instance_id, channels)
            return
        await self._by_thread(self._engine.user_online, user_id, instance_id, channels)
        if user_id in self._stale:
            self._to_reload.add(user_id)

    async def _load(self, user_id: str) -> list[str]:
        while True:
            self._stale.discard(user_id)
            channels = await retry_forever(lambda: self._memberships.channels_of(user_id), "loading memberships")
            if user_id not in self._stale:
                return channels

    async def _place(self, user_id: str, channels: list[str]) -> None:
        wishes = self._wanted[user_id]
        instance_id = next((instance for instance, online in wishes.items() if online), None)
        if instance_id is None:
            return
        if len(channels) <= INLINE_CHANNELS:
            self._engine.user_online(user_id, instance_id, channels)
        else:
            await self._by_thread(self._engine.user_online, user_id, instance_id, channels)
            if user_id in self._stale or instance_id not in wishes:
                self.forget(user_id)
                await self._by_thread(self._engine.user_offline, user_id, instance_id)
        # The wish stands: the next round finds the channels known, confirms it, or undoes it where it changed.

    def _confirm(self, user_id: str, instance_id: str) -> None:
        if not self._placed:
            asyncio.get_running_loop().call_soon(self._send_confirmations)
        self._placed[instance_id].append(user_id)

    def _send_confirmations(self) -> None:
        placed, self._placed = self._placed, defaultdict(list)
        self._tasks.start(self._publish_confirmations(placed), "confirming placements")

    async def _publish_confirmations(self, placed: dict[str, list[str]]) -> None:
        messages = [
            (instance_control(instance_id), self._confirmation(page))
            for instance_id, users in placed.items()
            for page in user_pages(users, self._bus.max_payload)
        ]
        try:
            await self._bus.publish_many(messages)
        except Unavailable as error:
            log.warning("placements not confirmed; instances will ask again", reason=str(error))

    def _confirmation(self, users: Sequence[str]) -> bytes:
        return msgspec.json.encode(RoutingConfirmed(self._worker_id, list(users)))

    def _count(self) -> None:
        USERS_PLACED.set(self._engine.stats()["users"])
