"""The subjects of the log and the bus, contract section 4, and where each stored event's channel stands in them."""

from typing import Final

MESSAGES: Final = "MESSAGES"
META: Final = "META"
DEAD: Final = "DEAD"

STREAM_SUBJECTS: Final = {
    MESSAGES: ("messages.send.*",),
    META: ("channels.member.joined.*", "channels.member.left.*"),
    DEAD: ("dead.>",),
}

MESSAGE_WRITER: Final = "message-writer"
"""The durable consumer of `MESSAGES` that stores them."""

TYPING: Final = "client.typing.*"

WORKERS: Final = "fanout.workers"
"""Fan-out workers tell each other here that they live and which partitions they hold."""

PRESENCE_DIGESTS: Final = "fanout.digests"
"""Notification instances tell the workers here which users they hold, as a digest."""


def message(channel_id: str) -> str:
    """Where a message of the channel is published."""
    return f"messages.send.{channel_id}"


def member_joined(channel_id: str) -> str:
    """Where a member's joining is published."""
    return f"channels.member.joined.{channel_id}"


def member_left(channel_id: str) -> str:
    """Where a member's leaving is published."""
    return f"channels.member.left.{channel_id}"


def typing(channel_id: str) -> str:
    """Where typing in the channel is published."""
    return f"client.typing.{channel_id}"


def instance_events(instance_id: str) -> str:
    """The inbox of a notification instance: one message carries a batch of events."""
    return f"instance.events.{instance_id}"


def instance_control(instance_id: str) -> str:
    """Where workers and other instances speak to one notification instance about connections, not events."""
    return f"instance.control.{instance_id}"


def dead(stream: str, channel_id: str) -> str:
    """Where an event of `stream` that can never succeed is kept."""
    return f"dead.{stream}.{channel_id}"


def channel_of(subject: str) -> str:
    """The channel that a subject of any stream, or of typing, is about: its last token."""
    return subject.rpartition(".")[2]


def stream_of(subject: str) -> str:
    """The stream that stores what is published to a subject.

    Raises:
        ValueError: none does.
    """
    for stream, patterns in STREAM_SUBJECTS.items():
        if any(_matches(pattern, subject) for pattern in patterns):
            return stream
    raise ValueError(f"no stream takes the subject {subject}")


def _matches(pattern: str, subject: str) -> bool:
    """Whether a subject is one of a pattern whose only wildcard is its last token."""
    rest = subject.removeprefix(pattern[:-1])
    return rest not in {"", subject} and (pattern[-1] == ">" or "." not in rest)


def worker_inbox(worker_id: str) -> str:
    """Where instances answer one worker's requests."""
    return f"fanout.worker.{worker_id}"
