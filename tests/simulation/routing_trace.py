"""The trace of routing: to which instances a worker routed each message, and which it passed over."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from fanout import partition_of
from fanout.lanes import Lane
from fanout.streams import MESSAGES


class _Message(NamedTuple):
    name: str
    channel: str
    part: int


class RoutingTrace:
    """Follows messages from the batch that a worker reads to the batches that it publishes.

    Args:
        tell: takes an entry.
        partitions: how many the log has.
    """

    def __init__(self, tell: Callable[..., None], partitions: int) -> None:
        self._tell = tell
        self._partitions = partitions
        self._messages: dict[int, _Message] = {}
        self._in_hand: dict[Any, list[int]] = {}
        """By reader: what a worker was given, and has not acknowledged."""
        self._sent: dict[tuple[str, int], list[str]] = {}
        """By worker and seq: the instances to which the worker, which was given the message, has published it."""
        self._upto: dict[tuple[str, str, Lane], int] = {}

    def stored(self, stream: str, seq: int, channel: str, payload: bytes) -> None:
        """The log has stored an event."""
        if stream == MESSAGES:
            name = msgspec.json.decode(payload)["message"]["client_msg_id"]
            self._messages[seq] = _Message(str(name), channel, partition_of(channel, self._partitions))

    def fetched(self, process: str, reader: Any, seqs: Sequence[int]) -> None:
        """A worker was given messages by the reader of a partition."""
        self._in_hand.setdefault(reader, []).extend(seqs)
        for seq in seqs:
            self._sent[process, seq] = []

    def sent(self, process: str, to: str, kind: str | None, lane: Lane, seq: int) -> None:
        """A worker has published a message to an instance, or a mark of how far it has routed a lane."""
        if lane.stream != MESSAGES:
            return
        before = self._upto.get((process, to, lane), 0)
        self._upto[process, to, lane] = max(before, seq)
        if kind != "mark":
            self._sent.setdefault((process, seq), []).append(to)
            return
        passed = self._passed_over(process, to, lane, range(before + 1, seq + 1))
        if passed:
            of = [about for message in passed for about in (message.name, message.channel)]
            names = [message.name for message in passed]
            self._tell("marks", of, process=process, to=to, seq=seq, part=lane.part, messages=names)

    def acked(self, process: str, reader: Any, upto: int) -> None:
        """A worker has routed and published everything that it was given up to a seq."""
        held = self._in_hand.get(reader, [])
        for seq in sorted(seq for seq in held if seq <= upto):
            if (message := self._messages.get(seq)) is not None:
                to = sorted(set(self._sent[process, seq]))
                of = [message.name, message.channel]
                self._tell("routes", of, process=process, message=message.name, seq=seq, to=to, part=message.part)
        self._in_hand[reader] = [seq for seq in held if seq > upto]

    def _passed_over(self, process: str, to: str, lane: Lane, seqs: range) -> list[_Message]:
        """The messages of a lane that the worker was given, and did not publish to an instance."""
        # A log that went back may continue far above: the range can be much longer than there are messages.
        given = [seq for seq in self._messages if seq in seqs and to not in self._sent.get((process, seq), [to])]
        return [message for seq in given if (message := self._messages[seq]).part == lane.part]
