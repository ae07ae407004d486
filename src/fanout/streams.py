"""The table of the log's streams: one row for each stream, with everything in which streams differ.

The lanes, the inbox, the fan-out workers, both log adapters, `fanout migrate` and `fanout check` read this table. Code
asks a row for a property and compares no stream's name. A new stream is a name and a row here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

MESSAGES: Final = "MESSAGES"
META: Final = "META"
RECEIPTS: Final = "RECEIPTS"
DEAD: Final = "DEAD"

MESSAGE_WRITER: Final = "message-writer"
"""The durable consumer of `MESSAGES` whose workers write the message store."""
UNREAD_COUNTER: Final = "unread-counter"
"""The durable consumer of `MESSAGES` that counts what is unread, and that of `META` that begins and ends memberships
for it."""

RECEIPT_WRITER: Final = "receipt-writer"
"""The durable consumer of `RECEIPTS` whose workers store read receipts."""

KEEP_S: Final = 7 * 86_400.0
"""Seconds that a stream keeps its events, unless its row or the configuration says otherwise."""
DEDUP_S: Final = 120.0
"""Seconds in which a stream stores no second event with the same message id."""

_DEAD_KEEP_S: Final = 30 * 86_400.0
_DEAD_DEDUP_S: Final = 86_400.0
"""Several readers may fail at one event, each at its own time: one that waits for its store comes to it hours later."""


class FanOutMode(Enum):
    """How the fan-out workers handle a stream's events."""

    IGNORED = "no worker reads them"
    ROUTED = "the one reader of a partition routes them, in order, to the subscribers of the event's channel"
    APPLIED = "every worker applies them to its routing table; the reader of the channel's partition then routes them"


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """One row of the table."""

    name: str
    subjects: tuple[str, ...]
    """Patterns of the subjects as they are published. The wildcard is the last token; `>` stands for several tokens."""
    fan_out: FanOutMode = FanOutMode.IGNORED
    kind: str = ""
    """The kind of stored event: it says what the engine routes, and what an instance makes of an event that it reads
    from the log. Empty where the events are not routed."""
    lane_code: int = 0
    """Marks the stream in the number of a lane, from 1 to `fanout.lanes.MAX_CODE`; never given to another stream. 0:
    the events are not sent to instances."""
    durables: tuple[str, ...] = ()
    """The durable consumers whose workers share the stream's events."""
    keep_s: float | None = None
    """Seconds that events are kept; None: as configured for the deployment, `KEEP_S` unless it says otherwise."""
    dedup_s: float = DEDUP_S
    replayed: bool = False
    """Whether a client that was away gets the events from the log when it is back."""
    may_be_missed: bool = False
    """Whether clients can read the events elsewhere. Then an instance passes over a gap that the log does not give in
    time, begins without knowing the stream's end, and is ready while this stream alone is away."""

    @property
    def in_inbox(self) -> bool:
        """Whether instances receive the events, and so repair gaps in them from the log."""
        return self.fan_out is not FanOutMode.IGNORED

    @property
    def partitioned(self) -> bool:
        """Whether events are stored by partition, and each partition has one reader at a time.

        A partitioned stream has one pattern of subjects, whose wildcard is the channel.
        """
        return self.fan_out is FanOutMode.ROUTED

    @property
    def changes_memberships(self) -> bool:
        """Whether events change who gets the events of a channel.

        Then no event of another lane may overtake them, the workers' tables depend on them, and those that the log lost
        are published again from the membership store.
        """
        return self.fan_out is FanOutMode.APPLIED

    @property
    def plain(self) -> bool:
        """Whether the events are for the subscribers of their channel and change nothing else."""
        return self.in_inbox and not self.changes_memberships

    @property
    def has_waiting_readers(self) -> bool:
        """Whether the log keeps positions of readers, so that it may discard unread events for their age."""
        return self.partitioned or bool(self.durables)

    @property
    def stem(self) -> str:
        """The part of a partitioned stream's subjects before the channel, with the dot."""
        return self.subjects[0].removesuffix("*")


_ROWS: Final = (
    StreamSpec(
        MESSAGES,
        ("messages.send.*",),
        FanOutMode.ROUTED,
        kind="message.new",
        lane_code=1,
        replayed=True,
        durables=(MESSAGE_WRITER, UNREAD_COUNTER),
    ),
    StreamSpec(
        META,
        ("channels.member.joined.*", "channels.member.left.*"),
        FanOutMode.APPLIED,
        kind="member",
        lane_code=2,
        durables=(UNREAD_COUNTER,),
    ),
    StreamSpec(
        RECEIPTS,
        ("receipts.read.*",),
        FanOutMode.ROUTED,
        kind="receipt.read",
        lane_code=3,
        durables=(RECEIPT_WRITER,),
        may_be_missed=True,  # `messages.receipts` has them
    ),
    StreamSpec(DEAD, ("dead.>",), keep_s=_DEAD_KEEP_S, dedup_s=_DEAD_DEDUP_S),
)

STREAMS: Final[Mapping[str, StreamSpec]] = MappingProxyType({row.name: row for row in _ROWS})
"""Each stream's row, by its name."""
INBOX_STREAMS: Final = tuple(row.name for row in _ROWS if row.in_inbox)
"""The streams whose events reach instances."""
ROUTED_STREAMS: Final = tuple(row.name for row in _ROWS if row.partitioned)
"""The streams that are read by partition. The partitions of all are the same channels."""
REPLAYED_STREAM: Final = next(row.name for row in _ROWS if row.replayed)
"""The one stream whose positions clients resume from."""
MEMBERSHIP_STREAM: Final = next(row.name for row in _ROWS if row.changes_memberships)
"""The one stream that changes memberships. The workers follow its sequence, so there cannot be two."""


def stream_of(subject: str) -> str:
    """The name of the stream that stores what is published to a subject.

    Raises:
        ValueError: no stream stores it.
    """
    for row in _ROWS:
        if any(_matches(pattern, subject) for pattern in row.subjects):
            return row.name
    raise ValueError(f"no stream takes the subject {subject}")


def _matches(pattern: str, subject: str) -> bool:
    """Whether a subject is one of a pattern whose only wildcard is its last token."""
    rest = subject.removeprefix(pattern[:-1])
    return rest not in {"", subject} and (pattern[-1] == ">" or "." not in rest)
