"""The routing barrier: a user is admitted when every fan-out worker routes the user's messages to this instance."""

import asyncio
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain

import msgspec
import structlog

from fanout import Unavailable, machine
from fanout.ports.bus import Bus
from fanout.subjects import PRESENCE_HINTS, WORKERS
from fanout.workers import (
    WORKER_SILENT_AFTER_S,
    PresenceChange,
    RoutingConfirmed,
    RoutingPending,
    WorkerNotice,
    decode_notice,
)
from services.notification.metrics import USERS_AWAITED
from services.runtime.skipping import skip
from services.runtime.tasks import retry_forever

log = structlog.get_logger(__name__)

FIRST_NOTICE_WITHIN_S = 1.0
ANNOUNCE_AGAIN_AFTER_S = (0.25, 0.5, 1.0, 1.5)
"""Seconds. A hint may be lost, so it is repeated. After the last of these the client is admitted without the
confirmation, which `UserRouting` then waits for, unless the workers say that they load the user."""
PENDING_FOR_S = 1.5
"""Seconds for which a worker that loads the user's channels is waited for, since it last said so."""
LOADED_WITHIN_S = 120.0
"""Seconds within which it has to be done."""
ANNOUNCE_LATE_AFTER_S = (2.0, 4.0, 8.0)
"""Seconds. They are long because all users of an instance may be late at once: a worker
that gets its stores back applies what it has heard and confirms by itself, and digests replace a lost hint."""


@dataclass(eq=False)
class _Waiting:
    number: int
    """The number of the first hint. A confirmation of an earlier one may be older than a departure in between."""
    members_upto: int = 0
    """The position of META up to which each worker must have applied the membership changes."""
    confirmed: set[str] = field(default_factory=set)
    pending: dict[str, float] = field(default_factory=dict)
    """By worker: when it last said that it loads the user's channels."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class RoutingBarrier:
    """Announces that a user is here, until every worker that reads events confirms that it routes to this instance.

    Args:
        instance_id: this instance.
        incarnation: distinguishes this start of the instance from others.
        bus: carries the hints, and the notices by which workers show that they are alive.
        clock: monotonic seconds.
    """

    def __init__(
        self, instance_id: str, incarnation: str, bus: Bus, *, clock: Callable[[], float] = machine.monotonic_s
    ) -> None:
        self.announced = 0
        """The number of the newest hint."""
        self._instance_id = instance_id
        self._incarnation = incarnation
        self._bus = bus
        self._clock = clock
        self._workers: dict[str, float] = {}
        self._members_upto: dict[str, int] = {}
        """By worker of `_workers`: the position of META up to which it has applied the membership changes."""
        self._heard = asyncio.Event()
        self._waiting: dict[str, list[_Waiting]] = {}

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
        if notice.incarnation != self._incarnation:
            return
        for user_id, number in notice.users.items():
            for waiting in self._waiting.get(user_id, ()):
                if waiting.number <= number:
                    waiting.confirmed.add(notice.worker)
                    waiting.changed.set()
        self._note_members(notice.worker, notice.members_upto)

    def pend(self, notice: RoutingPending) -> None:
        """Take the notice of a worker that it loads the channels of some users."""
        if notice.incarnation != self._incarnation:
            return
        for user_id in notice.users:
            for waiting in self._waiting.get(user_id, ()):
                waiting.pending[notice.worker] = self._clock()

    def workers(self) -> list[str]:
        """The workers that are heard and read events, sorted by id."""
        return sorted(self._heard_lately())

    def members_upto(self) -> float:
        """The position of META up to which every worker is known to have applied the changes; infinity without any."""
        return min((self._members_upto.get(worker, 0) for worker in self._readers()), default=math.inf)

    async def announce_until_confirmed(
        self,
        user_id: str,
        members_upto: int = 0,
        *,
        late: bool = False,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Notify the workers that a user is here, and wait for their confirmations.

        It takes some seconds at most, and longer while each worker that is missing says that it loads the user.

        Args:
            user_id: who.
            members_upto: the position of META up to which each worker must have applied the changes.
            late: whether the user is admitted already, so that the pauses between the hints may be long.
            is_wanted: whether to go on. It is asked before each hint.

        Returns:
            whether every worker has confirmed.
        """
        begin = self._clock()
        with self._expecting(user_id, members_upto) as waiting:
            for patience in ANNOUNCE_LATE_AFTER_S if late else ANNOUNCE_AGAIN_AFTER_S:
                if not is_wanted():
                    return False
                await self._announce(user_id, online=True)
                if await self._confirmed(waiting, patience):
                    return True
            while is_wanted() and self._are_loading(waiting) and self._clock() - begin < LOADED_WITHIN_S:
                await self._announce(user_id, online=True)  # a confirmation may be lost, too
                if await self._confirmed(waiting, PENDING_FOR_S):
                    return True
        return False

    async def announce_departure(self, user_id: str) -> None:
        """Notify the workers that a user's last connection here has gone. Nothing waits for their answer."""
        await self._announce(user_id, online=False)

    async def _announce(self, user_id: str, *, online: bool) -> None:
        self.announced += 1
        change = PresenceChange(user_id, online, self._instance_id, self._incarnation, self.announced)
        try:
            await self._bus.publish(PRESENCE_HINTS, msgspec.json.encode(change))
        except Unavailable as error:
            # An arrival is announced again, and the next digest shows a departure to the workers.
            log.debug("workers cannot be notified of a user now", user_id=user_id, reason=str(error))

    @contextmanager
    def _expecting(self, user_id: str, members_upto: int) -> Iterator[_Waiting]:
        waiting = _Waiting(self.announced + 1, members_upto)
        self._waiting.setdefault(user_id, []).append(waiting)
        USERS_AWAITED.set(len(self._waiting))
        try:
            yield waiting
        finally:
            self._waiting[user_id].remove(waiting)
            if not self._waiting[user_id]:
                del self._waiting[user_id]
            USERS_AWAITED.set(len(self._waiting))

    async def _confirmed(self, waiting: _Waiting, patience: float) -> bool:
        try:
            async with asyncio.timeout(patience):
                while not self._is_confirmed(waiting):
                    waiting.changed.clear()
                    await waiting.changed.wait()
        except TimeoutError:
            return self._is_confirmed(waiting)
        return True

    def _is_confirmed(self, waiting: _Waiting) -> bool:
        return self._readers() <= waiting.confirmed and waiting.members_upto <= self.members_upto()

    def _are_loading(self, waiting: _Waiting) -> bool:
        """Whether every worker that has not confirmed loads the user's channels."""
        oldest, missing = self._clock() - PENDING_FOR_S, self._readers() - waiting.confirmed
        return bool(missing) and all(waiting.pending.get(worker, -math.inf) > oldest for worker in missing)

    def _readers(self) -> set[str]:
        # Workers that stop say so. If all are silent, it is more likely that this process or the bus is the cause.
        return set(self._heard_lately() or self._workers)

    def _heard_lately(self) -> dict[str, float]:
        oldest = self._clock() - WORKER_SILENT_AFTER_S
        return {worker: at for worker, at in self._workers.items() if at >= oldest}

    def _hear(self, _subject: str, payload: bytes) -> None:
        try:
            notice = decode_notice(payload)
        except msgspec.DecodeError as error:
            skip("worker_notice", error)
            return
        self._heard.set()
        known = set(self._workers)
        self._note(notice)
        if not known <= self._workers.keys():
            self._members_upto = {worker: self._members_upto.get(worker, 0) for worker in self._workers}
            for waiting in chain.from_iterable(self._waiting.values()):
                waiting.changed.set()  # the worker that has gone may be the only one that had not confirmed
        self._note_members(notice.worker, notice.members_upto)

    def _note_members(self, worker: str, members_upto: int) -> None:
        if worker not in self._workers or members_upto <= self._members_upto.get(worker, 0):
            return
        self._members_upto[worker] = members_upto
        for waiting in chain.from_iterable(self._waiting.values()):
            if waiting.members_upto:
                waiting.changed.set()

    def _note(self, notice: WorkerNotice) -> None:
        if notice.ready:
            if not self._heard_lately():
                # Nobody was heard, so this instance had no connection. The other workers are given time to be heard.
                self._workers = dict.fromkeys(self._workers, self._clock())
            self._workers[notice.worker] = self._clock()
            self._workers = self._heard_lately()
        else:
            self._workers.pop(notice.worker, None)
