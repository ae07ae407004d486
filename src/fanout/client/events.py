"""The events of a client: a type for each frame of the server, and for what happens to the connection.

The fields are those of `docs/protocol.md`. A frame of a type that this version does not know is `Unknown`.
"""

from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from fanout.client.resume_point import ResumePoint, Seq


class ChatMessage(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A message of a channel or a thread."""

    message_id: str
    channel_id: str
    sender_id: str
    text: str
    sent_at: str
    seq: Seq | None = None
    """Its position in the log, in messages of a catch-up."""
    thread_id: str | None = None
    mentions: list[str] | None = None
    attachments: list[Any] | None = None
    client_msg_id: str | None = None
    also_send_to_channel: bool | None = None


class ServerFrame(msgspec.Struct, frozen=True, tag_field="type", kw_only=True, omit_defaults=True):
    """The base of the frames that the server sends."""


class AuthOk(ServerFrame, frozen=True, tag="auth.ok"):
    """The client is connected: everything posted from now on comes."""

    user_id: str
    session_id: str
    device_id: str
    heartbeat_s: Annotated[float, Meta(gt=0)] = 30.0
    """Seconds between two heartbeats."""
    seq: Seq | None = None
    parts: dict[int, Seq] = {}
    """With `seq`, the point from which live events flow; by partition."""
    log: str | None = None
    """Identifies the log that the point is of."""
    reconnect_after_ms: Annotated[int, Meta(ge=0)] | None = None
    """Milliseconds to wait before connecting again once this connection is lost."""


class HeartbeatOk(ServerFrame, frozen=True, tag="heartbeat.ok"):
    """All durable events up to `seq` that concern this client were delivered."""

    seq: Seq = 0


class Pong(ServerFrame, frozen=True, tag="pong"):
    """The answer to `ping`."""


class MessageNew(ServerFrame, frozen=True, tag="message.new"):
    """A message was posted to a channel."""

    seq: Seq
    part: int
    channel_id: str
    message: ChatMessage


class ThreadReply(ServerFrame, frozen=True, tag="thread.reply"):
    """A reply was posted to a thread, and not to the channel."""

    seq: Seq
    part: int
    channel_id: str
    thread_id: str
    message: ChatMessage


class Typing(ServerFrame, frozen=True, tag="typing"):
    """Another user has begun or ended typing."""

    channel_id: str
    user_id: str
    typing: bool


class ReceiptRead(ServerFrame, frozen=True, tag="receipt.read"):
    """Users have read a message. It may come twice: add the users to those that are known."""

    channel_id: str
    message_id: str
    read_by: list[str]
    read_at: str | None = None
    event_id: str | None = None


class PresenceUpdate(ServerFrame, frozen=True, tag="presence.update"):
    """The presence of a user."""

    user: str
    status: str
    """`online`, `idle`, `away` or `offline`."""
    version: int = 0
    last_active: str | None = None
    status_text: str | None = None
    status_emoji: str | None = None


class MemberJoined(ServerFrame, frozen=True, tag="member.joined"):
    """A user has joined a channel of this user; the user may be this one."""

    channel_id: str
    user_id: str
    event_id: str | None = None
    at: str | None = None
    version: int = 0


class MemberLeft(ServerFrame, frozen=True, tag="member.left"):
    """A user has left a channel of this user; the user may be this one."""

    channel_id: str
    user_id: str
    event_id: str | None = None
    at: str | None = None
    version: int = 0


class SyncRead(ServerFrame, frozen=True, tag="sync.read"):
    """Another device of this user has read a channel up to a message."""

    channel_id: str
    last_read_id: str
    last_read_at: str | None = None


class Draft(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The text that a user has begun to write in a channel."""

    text: str
    reply_to: str | None = None
    attachments: list[Any] | None = None
    updated_at: str | None = None
    device_id: str | None = None


class SyncDraft(ServerFrame, frozen=True, tag="sync.draft"):
    """Another device of this user has saved or deleted a draft, or an edit of this device was refused as stale."""

    channel_id: str
    draft: Draft | None = None
    updated_at: str | None = None


class DraftSaved(ServerFrame, frozen=True, tag="draft.saved"):
    """The draft that this client has sent is saved, or deleted."""

    channel_id: str
    updated_at: str


class DraftLoad(ServerFrame, frozen=True, tag="draft.load"):
    """The draft of a channel that this client has opened; None if there is none."""

    channel_id: str
    draft: Draft | None = None
    updated_at: str | None = None


class MissedMessages(msgspec.Struct, frozen=True, kw_only=True):
    """The messages that were missed in one channel."""

    channel_id: str
    messages: list[ChatMessage] = []
    """The newest ones, in the order of the log."""
    more: bool = False
    """Whether older ones were missed too: `channels.history` has them."""


class Catchup(ServerFrame, frozen=True, tag="catchup"):
    """The newest messages that were missed, of the channels that the user is most active in."""

    tier: int = 2
    channels: list[MissedMessages] = []
    unread: dict[str, int] | None = None
    """Unread messages by channel."""


class UnreadCounts(ServerFrame, frozen=True, tag="unread.counts"):
    """How much is unread, by channel. The messages are not sent: read them by `channels.history`."""

    tier: int = 3
    channels: dict[str, int] = {}
    total: int = 0
    mentions: int = 0


class FullRefreshRequired(ServerFrame, frozen=True, tag="full_refresh_required"):
    """Something was missed that the server does not send: read again what is shown."""

    tier: int = 4
    reason: str = "gap"
    """`gap` or `log_reset`; take one that you do not know as `gap`."""
    after_ms: int = 0
    """Milliseconds to wait before reading again, so that not all clients do it at once."""


class CatchupComplete(ServerFrame, frozen=True, tag="catchup.complete"):
    """The end of a catch-up: from now on events are live."""

    tier: int = 1
    last_event_seq: Seq = 0


class ErrorFrame(ServerFrame, frozen=True, tag="error"):
    """The server did not do what a frame of this client asks for. The connection stays open."""

    code: str
    message: str = ""
    offending_type: str | None = None
    """The type of the frame that was refused."""
    client_msg_id: str | None = None


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """A frame of a type that this version does not know. A newer server may send it."""

    type: str
    fields: dict[str, Any]
    """The whole frame."""


class Disconnected(msgspec.Struct, frozen=True, kw_only=True):
    """The connection is lost, or could not be made; the client tries again by itself."""

    reason: str
    code: int | None = None
    """The close code of the server; None if the connection broke or none was made."""
    retry_in_s: float
    """Seconds until the next attempt."""


class ResumeDropped(msgspec.Struct, frozen=True, kw_only=True):
    """Resuming failed several times: the client connects without its point, so everything since then may be missed.

    Read again what is shown, by `channels.history` and `unread.counts`.
    """

    point: ResumePoint
    """The point that was dropped."""
    attempts: int


Event: TypeAlias = (
    AuthOk
    | HeartbeatOk
    | Pong
    | MessageNew
    | ThreadReply
    | Typing
    | ReceiptRead
    | PresenceUpdate
    | MemberJoined
    | MemberLeft
    | SyncRead
    | SyncDraft
    | DraftSaved
    | DraftLoad
    | Catchup
    | UnreadCounts
    | FullRefreshRequired
    | CatchupComplete
    | ErrorFrame
    | Unknown
    | Disconnected
    | ResumeDropped
)
"""Everything that a client is told."""
