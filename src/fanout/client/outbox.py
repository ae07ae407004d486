"""Frames that must arrive even if the connection breaks: kept until the server has handled them."""

from dataclasses import dataclass
from typing import Final

from fanout.client.client_frames import encode
from fanout.client.errors import OutboxFull
from fanout.error_codes import OUTCOME_UNKNOWN, UNAVAILABLE

MOST_WAITING: Final = 10_000
WORTH_REPEATING: Final = {UNAVAILABLE.code, OUTCOME_UNKNOWN.code}
"""Codes of errors after which the same frame may be taken a moment later."""


@dataclass(slots=True)
class _Waiting:
    frame_type: str
    frame: str
    confirmed_by: int | None = None
    """The number of the heartbeat whose answer confirms it; None while it is not sent."""


class Outbox:
    """Read pointers and read receipts on their way to the server. All may be sent twice.

    The server handles the frames of a connection in their order and answers each heartbeat. So a frame is confirmed by
    the answer to the heartbeat that follows it.
    """

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, ...], _Waiting] = {}
        self._heartbeats = 0
        self._answers = 0
        self._to_repeat: set[str] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def mark_read(self, channel_id: str, message_id: str) -> None:
        """Move the read pointer of a channel. Only the last position of a channel is kept.

        Raises:
            OutboxFull: too much waits.
        """
        self._put(("mark_read", channel_id), encode("mark_read", channel_id=channel_id, message_id=message_id))

    def message_read(self, channel_id: str, message_id: str) -> None:
        """Tell that the user has read a message.

        Raises:
            OutboxFull: too much waits.
        """
        frame = encode("message.read", channel_id=channel_id, message_id=message_id)
        self._put(("message.read", channel_id, message_id), frame)

    def take_unsent(self) -> list[str]:
        """The frames to send now."""
        unsent = [waiting for waiting in self._waiting.values() if waiting.confirmed_by is None]
        for waiting in unsent:
            waiting.confirmed_by = self._heartbeats + 1
        return [waiting.frame for waiting in unsent]

    def note_heartbeat(self) -> None:
        """A heartbeat is sent: its answer confirms what was sent before."""
        self._heartbeats += 1

    def note_answer(self) -> None:
        """A heartbeat was answered. What the server could not do at that time is to be sent again."""
        self._answers += 1
        for key, waiting in list(self._waiting.items()):
            if waiting.confirmed_by is None or waiting.confirmed_by > self._answers:
                continue
            if waiting.frame_type in self._to_repeat:
                waiting.confirmed_by = None
            else:
                del self._waiting[key]
        self._to_repeat.clear()

    def note_error(self, code: str, offending_type: str | None) -> None:
        """The server refused a frame. The error does not say which, so all of its type are repeated."""
        if code in WORTH_REPEATING and offending_type is not None:
            self._to_repeat.add(offending_type)

    def note_loss(self) -> None:
        """The connection is lost: what is not confirmed is to be sent again."""
        self._heartbeats = self._answers = 0
        self._to_repeat.clear()
        for waiting in self._waiting.values():
            waiting.confirmed_by = None

    def _put(self, key: tuple[str, ...], frame: str) -> None:
        if key not in self._waiting and len(self._waiting) >= MOST_WAITING:
            raise OutboxFull(f"{MOST_WAITING:,} read positions and receipts wait to be sent")
        self._waiting[key] = _Waiting(key[0], frame)
