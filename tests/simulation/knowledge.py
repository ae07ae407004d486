"""What devices know: the messages that they got over sockets or read in histories, over all their sessions."""

from collections.abc import Iterator
from typing import NamedTuple

from tests.simulation.history import Entry, History


class Known(NamedTuple):
    """A message that a device knows."""

    channel: str
    seq: int
    name: str
    message_id: str


class Read(NamedTuple):
    """A page of a history that a device read."""

    at: float
    channel: str
    above: int
    """The page has what is above this seq."""
    below: int
    """The page has what is below this seq; 0 where it goes up to the newest."""
    upto: int
    """It is said to be complete up to this seq."""
    seqs: frozenset[int]
    asked: float
    """When it was asked for."""
    newest: int | None
    """The newest seq that the log is said to have held; None where that was not known."""

    def covers(self, seq: int) -> bool:
        """Whether the page is said to have the message of a seq, if there is one."""
        return self.above < seq <= self.upto and (not self.below or seq < self.below)


class Knowledge:
    """What one device knows.

    Attributes:
        messages: each message as often as the device learned of it in another place, in the order in which it did.
        reads: the pages that it read.
        channels: those that it has heard of, in the order in which it did.
    """

    def __init__(self) -> None:
        self.messages: dict[Known, None] = {}
        self.reads: list[Read] = []
        self.channels: dict[str, None] = {}

    def in_channel(self, channel: str) -> dict[int, str]:
        """The name of each message of a channel that it knows, by seq."""
        return {known.seq: known.name for known in self.messages if known.channel == channel}

    def was_read(self, channel: str, seq: int, since: float) -> bool:
        """Whether it read, after a time, a page that covers a seq and has its message."""
        return any(
            read.at > since and read.channel == channel and read.covers(seq) and seq in read.seqs for read in self.reads
        )


def knowledge_of(history: History) -> dict[str, Knowledge]:
    """What each device knows at the end.

    Args:
        history: of a run.
    """
    devices: dict[str, Knowledge] = {}
    users: dict[str, str] = {}
    for entry in history.of("opened", "frame", "history"):
        device = entry.about["device"]
        if entry.what == "opened":
            users[device] = entry.about["user"]
        knowledge = devices.setdefault(device, Knowledge())
        knowledge.messages |= dict.fromkeys(_messages(entry))
        knowledge.channels |= dict.fromkeys(_channels(entry, users.get(device, "")))
        if entry.what == "history":
            knowledge.reads.append(_read(entry))
    return devices


def _messages(entry: Entry) -> Iterator[Known]:
    if entry.what == "history":
        for seq, name, message_id in entry.about["messages"]:
            yield Known(entry.about["channel"], seq, name, message_id)
    elif entry.what == "frame" and (frame := entry.about["frame"])["type"] == "message.new":
        message = frame["message"]
        yield Known(frame["channel_id"], frame["seq"], message["client_msg_id"], message["message_id"])


def _channels(entry: Entry, user: str) -> Iterator[str]:
    """The channel that an entry tells a device of: by a page, a message, or a change that makes its user a member."""
    about = entry.about
    match about.get("frame", about):
        case {"type": "message.new", "channel_id": channel}:
            yield channel
        case {"type": "member.joined", "channel_id": channel, "user_id": joined} if joined == user:
            yield channel
        case {"channel": channel}:
            yield channel


def _read(entry: Entry) -> Read:
    about = entry.about
    seqs = frozenset(seq for seq, _, _ in about["messages"])
    bounds = about["above"], about["below"], about["upto"]
    return Read(entry.at, about["channel"], *bounds, seqs, about["asked"], about["newest"])
