"""What a storm is made of: who reads what, and what is said. The same seed makes the same storm, but for its timing."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from msgspec import Raw

from fanout.events import Message, MessageEvent, encode, timestamp
from fanout.ids import new_event_id, new_message_id
from tests.chaos.publisher import Event

SECOND_DEVICES = 10
"""One client in so many is the second device of the user before it, on another instance."""
HOT = 100
"""One channel in so many gets a tenth of all messages."""
TEXT = "It was a dark and stormy night; the rain fell in torrents, except at occasional intervals. "


@dataclass(frozen=True)
class Scenario:
    """The size of a storm, and what strikes it."""

    messages: int = 1_000_000
    channels: int = 10_000
    workers: int = 3
    instances: int = 3
    clients: int = 300
    channels_each: int = 100
    """Channels of a user."""
    change_every: float = 4.0
    """Seconds, on average, from one worker that dies or comes to the next."""
    instance_kills: int = 6
    """Times that an instance is killed, and started again after a while."""
    nats_restarts: int = 2
    drop: float = 0.0
    """The share of the messages to instances that is lost on the way."""
    rate: float = 5_000.0
    """Messages published per second, at most."""
    ahead: int = 100_000
    """Receipts that may be outstanding before publishing waits."""
    seed: int = 1

    @property
    def most_workers(self) -> int:
        """Alive at a time."""
        return self.workers + 1


@dataclass
class Layout:
    """Users and their channels."""

    channels: list[str]
    users: list[str]
    """Of each client."""
    channels_of: dict[str, list[str]] = field(default_factory=dict)
    readers: dict[str, int] = field(default_factory=dict)
    """How many clients read each channel."""

    @classmethod
    def of(cls, scenario: Scenario) -> "Layout":
        chance = random.Random(f"layout {scenario.seed}")
        channels = [f"channel-{number}" for number in range(scenario.channels)]
        numbers = range(scenario.clients)
        users = [f"user-{number - (number % SECOND_DEVICES == SECOND_DEVICES - 1)}" for number in numbers]
        layout = cls(channels, users, readers=dict.fromkeys(channels, 0))
        each = min(scenario.channels_each, scenario.channels)
        for user in users:
            if user not in layout.channels_of:
                layout.channels_of[user] = chance.sample(channels, each)
            for channel in layout.channels_of[user]:
                layout.readers[channel] += 1
        return layout

    def members(self) -> dict[str, list[str]]:
        """Users by channel."""
        members: dict[str, list[str]] = {channel: [] for channel in self.channels}
        for user, channels in self.channels_of.items():
            for channel in channels:
                members[channel].append(user)
        return members


def counted(number: int, one: str, more: str = "") -> str:
    """Things by number, in words; more than one take an `s` or what is given."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def blocks(scenario: Scenario, layout: Layout, size: int) -> Iterator[list[Event]]:
    """All messages, in blocks."""
    events = _events(scenario, layout)
    while block := list(islice(events, size)):
        yield block


def _events(scenario: Scenario, layout: Layout) -> Iterator[Event]:
    chance = random.Random(f"messages {scenario.seed}")
    hot = layout.channels[: max(1, len(layout.channels) // HOT)]
    for number in range(scenario.messages):
        channel = chance.choice(hot if chance.random() < 0.1 else layout.channels)
        message_id, event_id = new_message_id(), new_event_id()
        body = Message(message_id, channel, "somebody", f"{TEXT}{number}", timestamp())
        event = MessageEvent(event_id, "message.new", channel, Raw(encode(body)))
        yield Event(channel, message_id, event_id, encode(event))
