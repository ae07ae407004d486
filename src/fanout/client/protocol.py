"""The client's side of the WebSocket protocol, without sockets and clocks of its own.

A driver connects, passes on what happens, and does what the protocol asks for:

* while `phase` is `CONNECTING`, it opens a socket and calls `connection_made`, or `connection_lost` if it cannot;
* it passes each text frame to `receive`, sends what `take_frames` returns after each call, and hands `take_events` on;
* it calls `handle_deadline` when the time is `deadline`;
* when `gives_up` is set it drops the socket, and calls `connection_lost` with it;
* when `phase` is `ENDED`, it stops; `ending` is the reason.

Every call takes the time as `now`, in seconds of any clock that does not step back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple

import msgspec

from fanout import machine
from fanout.client.activity import State
from fanout.client.client_frames import encode
from fanout.client.decoding import decode
from fanout.client.errors import ProtocolViolation, SessionEnded
from fanout.client.events import AuthOk, CatchupComplete, Disconnected, Event, HeartbeatOk, ResumeDropped
from fanout.client.newest import Newest
from fanout.client.position import Position
from fanout.client.reconnecting import Backoff, Closing
from fanout.client.resume_point import ResumePoint
from fanout.client.sender import Sender
from fanout.client.settings import ClientSettings
from fanout.error_codes import CloseCode

_NOT_OF_THE_RESUME: Final = {CloseCode.DRAINING, CloseCode.TRY_AGAIN_LATER, CloseCode.UNAUTHENTICATED}
"""Close codes that come before `auth.ok` also to clients that do not resume."""


class Phase(Enum):
    """The state of a client."""

    WAITING = auto()
    """It waits before it connects again."""
    CONNECTING = auto()
    AUTHENTICATING = auto()
    OPEN = auto()
    ENDED = auto()


@dataclass(frozen=True)
class Device:
    """The device that a client is."""

    device_id: str
    """`dev_{platform}_{ULID or UUID}`, made once for an installation."""
    platform: str | None = None
    state: State = "idle"
    """The state of its user at the start."""


class Received(NamedTuple):
    """An event, with the frame that told it."""

    event: Event
    text: str | None
    """The frame as it came; None for an event of the client itself."""


class ClientProtocol:
    """One device of a user, over any number of connections.

    Args:
        device: the device.
        now: the time, in seconds.
        point: where to resume; None to begin with what comes from now on.
        renews_token: whether the driver can get another token after one was refused.
        settings: times and bounds.
        random: returns a random number from 0 to below 1.

    Attributes:
        phase: what the client is doing.
        sender: takes what the program has to tell; the frames are sent by `take_frames`.
        gives_up: the reason to drop the connection, once there is one.
        ending: why the client has ended; None if it has not, or was closed.
        needs_token: whether the last token was refused, so that the driver must get another one.
    """

    def __init__(
        self,
        device: Device,
        now: float,
        *,
        point: ResumePoint | None = None,
        renews_token: bool = False,
        settings: ClientSettings | None = None,
        random: Callable[[], float] = machine.random_share,
    ) -> None:
        self._device = device
        self._settings = settings or ClientSettings()
        self._renews_token = renews_token
        self._backoff = Backoff(self._settings.delays, random)
        self._position = Position(point)
        self._newest = Newest(point)
        self._resumed_from: ResumePoint | None = None
        self._failed_resumes = 0
        self._token_renewed = False
        """Whether the current token was asked for after a refusal, and has not been accepted yet."""
        self._due: float | None = None
        """When to connect, or to give up waiting for `auth.ok`."""
        self._frames: list[str] = []
        self._events: list[Received] = []
        self.sender = Sender(device.device_id, device.state, now, self._settings, random)
        self.phase = Phase.CONNECTING
        self.gives_up: str | None = None
        self.ending: SessionEnded | None = None
        self.needs_token = False

    @property
    def point(self) -> ResumePoint | None:
        """Where the next connection will resume; None to connect plainly."""
        return self._position.point

    @property
    def deadline(self) -> float | None:
        """When `handle_deadline` is to be called; None if only the other calls can change anything."""
        due = [at for at in (self._due, self.sender.deadline) if at is not None]
        return None if self.phase is Phase.ENDED else min(due, default=None)

    def handle_deadline(self, now: float) -> None:
        """Do what is due."""
        self.sender.handle_deadline(now)
        if self.sender.server_is_gone(now):
            self.gives_up = "the server does not answer"
        if self._due is not None and self._due <= now:
            self._due = None
            if self.phase is Phase.WAITING:
                self.phase = Phase.CONNECTING
            else:
                self.gives_up = "the server did not answer the authentication"

    def connection_made(self, token: str, now: float) -> None:
        """A socket is open.

        Args:
            token: of the user.
            now: the time, in seconds.
        """
        self.phase, self._due = Phase.AUTHENTICATING, now + self._settings.auth_within_s
        self.needs_token = False
        self._resumed_from = self._position.point
        self._frames = [encode("auth", token=token, **self._auth_fields())]

    def receive(self, text: str, now: float) -> None:
        """A text frame has come."""
        if self.phase not in {Phase.AUTHENTICATING, Phase.OPEN}:
            return
        try:
            event = decode(text)
        except ProtocolViolation as violation:
            self._end(violation)
            return
        told = self.sender.hear(event, now)
        self._take(event, now)
        news = [each for each in map(self._newest.news_of, told) if each is not None]
        self._events += [Received(each, text if number == 0 else None) for number, each in enumerate(news)]

    def connection_lost(self, closing: Closing, now: float) -> None:
        """The socket is closed, or could not be opened.

        Args:
            closing: how that came.
            now: the time, in seconds.
        """
        if self.phase is Phase.ENDED:
            return
        was_open = self.phase is Phase.OPEN
        self._hang_up()
        ending = closing.final_error() or self._refused_token(closing, was_open=was_open)
        if ending is not None:
            self._end(ending)
            return
        delay_s = self._backoff.next_delay_s(closing)
        self.phase, self._due = Phase.WAITING, now + delay_s
        self._tell(Disconnected(reason=closing.text, code=closing.code, retry_in_s=delay_s))
        self._count_failed_resume(closing, was_open=was_open)

    def close(self) -> None:
        """End the client. What `take_frames` returns afterwards is still to be sent."""
        self._end(None)

    def take_frames(self) -> list[str]:
        """The frames to send now, in their order."""
        frames, self._frames = self._frames, []
        return frames + self.sender.take_frames()

    def take_events(self) -> list[Received]:
        """Everything that has happened since the last call, in its order."""
        events, self._events = self._events, []
        return events

    def hold(self) -> None:
        """The driver reads nothing for now, because the program is busy with earlier events."""
        self.sender.hold()

    def release(self, now: float) -> None:
        """The driver reads again."""
        self.sender.release(now)

    def _auth_fields(self) -> dict[str, object]:
        fields: dict[str, object] = {"device_id": self._device.device_id, **self.sender.auth_fields()}
        if self._device.platform is not None:
            fields["platform"] = self._device.platform
        if self._resumed_from is not None:
            fields["resume"] = msgspec.structs.replace(self._resumed_from, ahead={})
        return fields

    def _take(self, event: Event, now: float) -> None:
        self._position.see(event)
        match event:
            case AuthOk():
                self.phase, self._due = Phase.OPEN, None
                self._backoff.spread(event.reconnect_after_ms)
                self._token_renewed = False
                self.sender.open(event.heartbeat_s, now)
            case HeartbeatOk():
                self._backoff.settle()
            case CatchupComplete():
                self._failed_resumes = 0

    def _refused_token(self, closing: Closing, *, was_open: bool) -> SessionEnded | None:
        """The error of a token that was refused and cannot be renewed; a new one is asked for once."""
        if not closing.refuses_token(was_open=was_open):
            return None
        if not self._renews_token or self._token_renewed:
            return closing.token_error()
        self.needs_token = self._token_renewed = True
        return None

    def _count_failed_resume(self, closing: Closing, *, was_open: bool) -> None:
        """Drop a resume point with which connecting has failed several times in a row without any progress."""
        point, self._resumed_from = self._resumed_from, None
        if point is None or not self._resume_failed(point, closing, was_open=was_open):
            return
        self._failed_resumes += 1
        if self._failed_resumes >= self._settings.resume_attempts:
            dropped = ResumeDropped(point=point, attempts=self._failed_resumes)
            self._failed_resumes = 0
            self._position.see(dropped)
            self._tell(dropped)

    def _resume_failed(self, point: ResumePoint, closing: Closing, *, was_open: bool) -> bool:
        if was_open:
            if self._position.point != point:
                self._failed_resumes = 0
            return self._position.is_catching_up and self._position.point == point
        return closing.code is not None and closing.code not in _NOT_OF_THE_RESUME

    def _tell(self, event: Event) -> None:
        self._events.append(Received(event, None))

    def _hang_up(self) -> None:
        self._due = self.gives_up = None
        self._frames.clear()
        self.sender.close()

    def _end(self, ending: SessionEnded | None) -> None:
        self.phase, self.ending, self._due = Phase.ENDED, ending, None
