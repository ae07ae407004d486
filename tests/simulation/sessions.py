"""The sessions of a history, each as its device saw it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.simulation.history import Entry, History
from tests.simulation.timeline import NEVER

MESSAGES_OF_CHANNELS: Final = ("message.new", "thread.reply")
"""The frames that carry a message."""


@dataclass
class Session:
    """One session of a device, as the device saw it."""

    device: str
    user: str
    instance: str
    opened: float
    """When the device read `auth.ok`."""
    admitted: float
    """When the instance wrote it. A device that reads nothing reads it later."""
    closed: float = NEVER
    frames: list[tuple[float, dict[str, Any]]] = field(default_factory=list)

    def refreshed(self, upto: float) -> float:
        """When it was last told, up to a time, that it may have missed something; 0 if it was not.

        Frames that are written together arrive at the same time.
        """
        told = [at for at, frame in self.frames if frame.get("reason") == "gap" and at <= upto]
        return max(told, default=0.0)

    @property
    def name(self) -> str:
        """The session, for people."""
        return f"{self.device} on {self.instance} (since {self.opened:.2f} s)"

    def joined(self, channel: str) -> list[float]:
        """When it got an event that its user joined a channel."""
        event = "member.joined", channel, self.user
        return [at for at, frame in self.frames if _subject(frame) == event]

    def messages(self, channel: str | None = None) -> Iterator[tuple[float, dict[str, Any]]]:
        """The messages and replies that it got, each with its time."""
        for at, frame in self.frames:
            if frame["type"] in MESSAGES_OF_CHANNELS and channel in (None, frame["channel_id"]):
                yield at, frame


def sessions_of(history: History) -> list[Session]:
    """Every session of a history, in the order in which they opened.

    Args:
        history: of a run.
    """
    sessions: dict[tuple[str, int], Session] = {}
    for entry in history.of("opened", "frame", "closed"):
        about = entry.about
        key = about["device"], about["session"]
        if entry.what == "opened":
            sessions[key] = Session(about["device"], about["user"], about["instance"], entry.at, about["admitted"])
        elif key in sessions:
            _continue(sessions[key], entry)
    return list(sessions.values())


def unopened(history: History) -> list[Entry]:
    """The frames that came on a connection before it was a session.

    Args:
        history: of a run.
    """
    opened, early = set(), []
    for entry in history.of("opened", "frame"):
        key = entry.about["device"], entry.about["session"]
        if entry.what == "opened":
            opened.add(key)
        elif key not in opened:
            early.append(entry)
    return early


def _subject(frame: dict[str, Any]) -> tuple[str, str, str]:
    return frame["type"], frame.get("channel_id", ""), frame.get("user_id", "")


def _continue(session: Session, entry: Entry) -> None:
    if entry.what == "closed":
        session.closed = entry.at
    else:
        session.frames.append((entry.at, entry.about["frame"]))
