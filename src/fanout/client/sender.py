"""The frames that a client sends: heartbeats, the state of the device, typing, reads, and whose presence it shows."""

from collections.abc import Callable, Iterable
from typing import Final

from fanout.client.activity import Activity, State
from fanout.client.client_frames import encode
from fanout.client.drafts import Content, DraftBox
from fanout.client.events import DraftLoad, DraftSaved, ErrorFrame, Event, HeartbeatOk, SyncDraft
from fanout.client.heartbeats import Heartbeats
from fanout.client.outbox import WORTH_REPEATING, Outbox
from fanout.client.settings import ClientSettings
from fanout.client.typing_notices import TypingNotices
from fanout.ids import check_id, check_message_id

MOST_WATCHED: Final = 500
"""Users whose presence one client may watch."""


class Sender:
    """The frames that a client sends after `auth`, over any number of connections.

    What the server forgets when a connection ends is told again on the next one. Reads and receipts wait for the next
    connection; typing does not.

    Args:
        device_id: the device.
        state: what its user does at the start.
        now: the time, in seconds.
        settings: times and bounds.
        random: returns a random number from 0 to below 1.
    """

    def __init__(
        self, device_id: str, state: State, now: float, settings: ClientSettings, random: Callable[[], float]
    ) -> None:
        self._random = random
        self._device_id = device_id
        self._settings = settings
        self._activity = Activity(state, now, settings.idle_after_s)
        self._typing = TypingNotices(settings.typing_repeat_s)
        self._outbox = Outbox()
        self._drafts = DraftBox()
        self._heartbeats: Heartbeats | None = None
        """None while the client is not connected."""
        self._focused_channel: str | None = None
        self._watched: list[str] | None = None
        self._frames: list[str] = []

    # For the protocol.

    def auth_fields(self) -> dict[str, str]:
        """The fields of the frame `auth` about the user."""
        focus = {} if self._focused_channel is None else {"focused_channel": self._focused_channel}
        return {"state": self._activity.state, **focus}

    def open(self, heartbeat_s: float, now: float) -> None:
        """The client is connected."""
        self._heartbeats = Heartbeats(heartbeat_s, self._settings.answer_within_s, now)
        if self._watched:
            self._frames.append(encode("presence.watch", user_ids=self._watched))
        self._flush()

    def close(self) -> None:
        """The connection is lost."""
        self._heartbeats = None
        self._frames.clear()
        self._typing.clear()
        self._outbox.note_loss()
        self._drafts.note_loss()

    def hear(self, event: Event, now: float) -> list[Event]:
        """A frame has come; returns what the program is told."""
        if self._heartbeats is None:
            return [event]
        self._heartbeats.heard(now)
        match event:
            case HeartbeatOk():
                self._heartbeats.answered()
                self._outbox.note_answer()
                self._flush()
            case ErrorFrame(code=code, offending_type=offending_type):
                self._outbox.note_error(code, offending_type)
                if code in WORTH_REPEATING:  # the heartbeat sends what is to be sent again, or its answer does
                    self._heartbeats.hasten(now + self._settings.repeat_after_s * (0.5 + self._random()))
                return self._drafts.hear(event)
            case DraftSaved() | DraftLoad() | SyncDraft():
                told = self._drafts.hear(event)
                self._flush()
                return told
        return [event]

    @property
    def deadline(self) -> float | None:
        """When `handle_deadline` is to be called."""
        heartbeat = None if self._heartbeats is None else self._heartbeats.deadline
        due = [at for at in (heartbeat, self._activity.deadline, self._typing.deadline) if at is not None]
        return min(due, default=None)

    def handle_deadline(self, now: float) -> None:
        """Do what is due."""
        self._frames += self._typing.expire(now)
        became_idle = self._activity.expire(now)
        if self._heartbeats is not None and (became_idle or self._heartbeats.is_due(now)):
            self._send_heartbeat(now)

    def server_is_gone(self, now: float) -> bool:
        """Whether the server has not answered a heartbeat for too long."""
        return self._heartbeats is not None and self._heartbeats.server_is_gone(now)

    def hold(self) -> None:
        """Nothing is read for now."""
        if self._heartbeats is not None:
            self._heartbeats.hold()

    def release(self, now: float) -> None:
        """Reading goes on."""
        if self._heartbeats is not None:
            self._heartbeats.release(now)

    def take_frames(self) -> list[str]:
        """The frames to send, in their order."""
        frames, self._frames = self._frames, []
        return frames

    # For the program.

    def mark_read(self, channel_id: str, message_id: str) -> None:
        """See `fanout.client.connection.Client.mark_read`."""
        self._outbox.mark_read(check_id(channel_id, "channel_id"), check_message_id(message_id))
        self._flush()

    def message_read(self, channel_id: str, message_id: str) -> None:
        """See `fanout.client.connection.Client.message_read`."""
        self._outbox.message_read(check_id(channel_id, "channel_id"), check_message_id(message_id))
        self._flush()

    def type(self, channel_id: str, now: float) -> None:
        """See `fanout.client.connection.Client.typing`."""
        check_id(channel_id, "channel_id")
        if self._heartbeats is not None:
            self._frames += self._typing.press(channel_id, now)

    def stop_typing(self, channel_id: str) -> None:
        """See `fanout.client.connection.Client.stop_typing`."""
        self._frames += self._typing.stop(channel_id)

    def save_draft(self, channel_id: str, content: Content) -> None:
        """See `fanout.client.connection.Client.save_draft`."""
        self._drafts.save(check_id(channel_id, "channel_id"), content)
        self._flush()

    def open_channel(self, channel_id: str) -> None:
        """See `fanout.client.connection.Client.open_channel`."""
        self._focused_channel = check_id(channel_id, "channel_id")
        self._send("channel.open", channel_id=channel_id)

    def close_channel(self, now: float) -> None:
        """See `fanout.client.connection.Client.close_channel`."""
        self._focused_channel = None
        self._send_heartbeat(now)

    def watch_presence(self, user_ids: Iterable[str]) -> None:
        """See `fanout.client.connection.Client.watch_presence`."""
        watched = [check_id(user_id, "user_ids") for user_id in dict.fromkeys(user_ids)]
        if len(watched) > MOST_WATCHED:
            raise ValueError(f"at most {MOST_WATCHED} users can be watched, and {len(watched)} were given")
        self._watched = watched
        self._send("presence.watch", user_ids=watched)

    def set_state(self, state: State, now: float) -> None:
        """See `fanout.client.connection.Client.set_state`."""
        if self._activity.set(state, now):
            self._send_heartbeat(now)

    def ping(self) -> None:
        """See `fanout.client.connection.Client.ping`."""
        self._send("ping")

    def _flush(self) -> None:
        if self._heartbeats is not None:
            self._frames += self._outbox.take_unsent() + self._drafts.take_unsent()

    def _send(self, frame_type: str, **fields: object) -> None:
        """Send a frame that is worth nothing on a later connection."""
        if self._heartbeats is not None:
            self._frames.append(encode(frame_type, **fields))

    def _send_heartbeat(self, now: float) -> None:
        if self._heartbeats is None:
            return
        self._flush()
        self._heartbeats.sent(now)
        self._outbox.note_heartbeat()
        self._send("heartbeat", device_id=self._device_id, **self.auth_fields())
