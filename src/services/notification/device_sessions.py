"""The sessions of an instance as connections of devices: a device that is removed has none.

The instance of a session whose device is removed is told; where that notice is lost, the session ends when its activity
is next recorded. The presence store decides which of two connections of a device is the newer one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Final

import structlog

from fanout import Unavailable, machine
from fanout.error_codes import DEVICE_TAKEN, CloseCode
from fanout.errors import DeviceRemoved, DeviceTaken
from fanout.events import timestamp
from fanout.ports.bus import Bus
from fanout.ports.devices import Activity, Device, Devices, Login
from fanout.workers import SessionLost
from services.notification.refusals import Refused
from services.notification.session import Session
from services.runtime.device_notices import DeviceNotices

log = structlog.get_logger(__name__)

RECORDED_EVERY_S: Final = 120.0
"""How often the activity of a device is recorded while it is connected."""
RECORDED_AT_ONCE: Final = 100
MOST_ENDED: Final = 50_000
"""Ends of sessions that wait for the store. A device whose end is not recorded looks as if it had been away longer."""
DEREGISTERED: Final = "deregistered: the device was removed; it may connect when it is registered again"


@dataclass(slots=True)
class _Entered:
    session: Session
    recorded_at: float


class DeviceSessions:
    """Records the logins and the activity of devices.

    Args:
        devices: the record.
        bus: for the instances that hold a device's earlier connection.
        clock: monotonic seconds.
    """

    def __init__(self, devices: Devices, bus: Bus, *, clock: Callable[[], float] = machine.monotonic_s) -> None:
        self._devices = devices
        self._notices = DeviceNotices(bus)
        self._clock = clock
        self._entered: dict[str, _Entered] = {}
        self._heard: dict[str, None] = {}  # a set that keeps its order
        self._ended: dict[str, Activity] = {}

    async def enter(self, session: Session) -> None:
        """Make a session its device's connection. The caller passes it to `leave` later, whatever comes of this.

        The devices that had to make room are told to end.

        Raises:
            Refused: the device is removed, or another user's.
            Unavailable: the record cannot be reached.
        """
        # Before it is recorded: another login may end it as soon as it is.
        self._entered[session.session_id] = _Entered(session, self._clock())
        try:
            before = await self._connect(session)
        except (DeviceRemoved, DeviceTaken) as error:
            del self._entered[session.session_id]  # nothing was recorded
            raise _refused(error) from error
        if before is not None:
            session.away_since = before.last_active_at if before.session_id is not None else None

    def leave(self, session: Session) -> None:
        """Record with the next batch that a session has ended. A second call does nothing."""
        if self._entered.pop(session.session_id, None) is None:
            return
        self._heard.pop(session.session_id, None)
        self._ended[session.session_id] = self._activity(session, ended=True)
        if len(self._ended) > MOST_ENDED:
            del self._ended[next(iter(self._ended))]

    def hear(self, session: Session) -> None:
        """Record a session's activity with the next batch, if it was not recorded for some time."""
        entered = self._entered.get(session.session_id)
        if entered is not None and self._clock() - entered.recorded_at >= RECORDED_EVERY_S:
            self._heard[session.session_id] = None

    def lose(self, notice: SessionLost) -> None:
        """End a session whose device was removed."""
        entered = self._entered.get(notice.session_id)
        if entered is not None:
            entered.session.end(CloseCode.REPLACED, DEREGISTERED)

    async def record(self) -> None:
        """Record what has come together, in batches, and end the sessions whose devices were removed.

        Raises:
            Unavailable: the record cannot be reached; what is not recorded is kept.
        """
        for _ in range(0, len(self._heard) + len(self._ended), RECORDED_AT_ONCE):
            heard = list(islice(self._heard, RECORDED_AT_ONCE))
            ended = dict(islice(self._ended.items(), RECORDED_AT_ONCE - len(heard)))
            activities = [self._activity(self._entered[session_id].session) for session_id in heard]
            lost = await self._devices.record_activity([*activities, *ended.values()])
            self._note_recorded(heard, ended)
            for session_id, removed in lost:
                if removed:
                    self.lose(SessionLost(session_id))
                else:
                    await self._take_over(session_id)

    async def _take_over(self, session_id: str) -> None:
        """Make a live session its device's connection again, where the record names another one.

        Two logins of a device at the same time may come to the record in another order than to the presence store.
        """
        entered = self._entered.get(session_id)
        if entered is None or entered.session.ending is not None:
            return
        try:
            await self._connect(entered.session)
        except (DeviceRemoved, DeviceTaken):
            self.lose(SessionLost(session_id))

    async def _connect(self, session: Session) -> Device | None:
        """Record a session as its device's connection. Returns the device as it was before; None if it is new.

        Raises:
            DeviceRemoved, DeviceTaken: see `Devices.connect_device`.
            Unavailable: the record cannot be reached.
        """
        login = Login(
            user_id=session.user_id,
            device_id=session.device_id,
            session_id=session.session_id,
            instance_id=session.instance_id,
            at=timestamp(),
            ip=session.socket.peer,
        )
        before, gone = await self._devices.connect_device(login)
        for device in gone:
            await self._notices.tell(device)
        return before

    async def record_last(self) -> None:
        """Record the ends of the last sessions, when the instance stops."""
        try:
            await self.record()
        except Unavailable as error:
            log.warning("the end of some sessions is not recorded", count=len(self._ended), reason=str(error))

    def _note_recorded(self, heard: list[str], ended: dict[str, Activity]) -> None:
        for session_id in heard:
            self._heard.pop(session_id, None)
            if (entered := self._entered.get(session_id)) is not None:
                entered.recorded_at = self._clock()
        for session_id in ended:
            self._ended.pop(session_id, None)

    @staticmethod
    def _activity(session: Session, *, ended: bool = False) -> Activity:
        return Activity(device_id=session.device_id, session_id=session.session_id, at=timestamp(), ended=ended)


def _refused(error: DeviceRemoved | DeviceTaken) -> Refused:
    if isinstance(error, DeviceRemoved):
        return Refused(CloseCode.REPLACED, DEREGISTERED, "device")
    return Refused(CloseCode.UNAUTHENTICATED, f"{DEVICE_TAKEN}: {DEVICE_TAKEN.text}", "device")
