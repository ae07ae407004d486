"""The subjects of the log and the bus, contract section 4. `fanout.streams` says which stream stores which."""

from typing import Final

TYPING: Final = "client.typing.*"

USER_SYNC: Final = "user.sync.*"

PRESENCE_CHANGED: Final = "presence.changed.*"

WORKERS: Final = "fanout.workers"
"""Fan-out workers publish here that they are alive, and which partitions they hold."""

PRESENCE_HINTS: Final = "fanout.presence"
"""Notification instances publish here which users come to them and leave them, for the workers."""

PRESENCE_DIGESTS: Final = "fanout.digests"
"""Notification instances publish the digests of their presence sets here, for the workers."""


def message(channel_id: str) -> str:
    """The subject under which a message of the channel is published."""
    return f"messages.send.{channel_id}"


def member_joined(channel_id: str) -> str:
    """The subject under which a member's joining is published."""
    return f"channels.member.joined.{channel_id}"


def member_left(channel_id: str) -> str:
    """The subject under which a member's leaving is published."""
    return f"channels.member.left.{channel_id}"


def receipt(channel_id: str) -> str:
    """The subject under which a read receipt of a message of the channel is published."""
    return f"receipts.read.{channel_id}"


def typing(channel_id: str) -> str:
    """The subject under which typing in the channel is published."""
    return f"client.typing.{channel_id}"


def user_sync(user_id: str) -> str:
    """The subject under which a change on one device is published for the user's other devices."""
    return f"user.sync.{user_id}"


def presence_changed(user_id: str) -> str:
    """The subject under which a change of the user's presence is published."""
    return f"presence.changed.{user_id}"


def instance_events(instance_id: str) -> str:
    """The inbox of a notification instance: one message carries a batch of events."""
    return f"instance.events.{instance_id}"


def instance_control(instance_id: str) -> str:
    """The subject of control messages to an instance: about connections, not events."""
    return f"instance.control.{instance_id}"


def dead(stream: str, channel_id: str) -> str:
    """The subject under which a dead letter of `stream` is kept."""
    return f"dead.{stream}.{channel_id}"


def user_of(subject: str) -> str:
    """The user that a subject of `user.sync` is about: its last token."""
    return subject.rpartition(".")[2]


def channel_of(subject: str) -> str:
    """The channel that a subject of any stream, or of typing, is about: its last token."""
    return subject.rpartition(".")[2]


def worker_inbox(worker_id: str) -> str:
    """The subject to which instances send answers to a worker's requests."""
    return f"fanout.worker.{worker_id}"


def channel_lists(worker_id: str) -> str:
    """The subject on which instances ask a worker for the channels of their users."""
    return f"fanout.lists.{worker_id}"
