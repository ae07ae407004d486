"""The subjects of the log and the bus, contract section 4. `fanout.streams` says which stream stores which."""

from typing import Final

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


def worker_inbox(worker_id: str) -> str:
    """Where instances answer one worker's requests."""
    return f"fanout.worker.{worker_id}"
