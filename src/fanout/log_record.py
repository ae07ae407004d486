"""The record that a deployment keeps of a stream, so that positions rise even when the stream itself goes back.

A stream that was restored, or lost its newest events, gives sequences again that it gave before. So readers see not the
sequence but the *position*, which is the sequence plus a lift. Where the stream was found changed, a new segment
begins, and its lift puts it above every position given before. Contract section 4, "When the log goes back".
"""

import hashlib
from bisect import bisect_right
from typing import Final

import msgspec

LARGEST_POSITION: Final = (1 << 53) - 1
"""Clients in JavaScript read a position as a double."""

LIFTED: Final = 10**15
"""A stream whose first sequence is at least this was created with a lift: microseconds since 1970, in 2001."""


REPUBLISHED_S: Final = 3_000.0
"""Seconds: membership changes that are lost and at most so old are published again; older ones are read from the store.

It is less than the hour for which a store keeps ended memberships, because the log may be away for a part of it.
"""


_IDENTITY_DIGITS: Final = 16

_UNSEEN: Final = 1_000_000
"""How many positions others may have given meanwhile: far more than a stream stores between two comparisons."""


class Segment(msgspec.Struct, frozen=True):
    """The events from one sequence on, up to the next segment."""

    start: int
    """The first sequence."""
    lift: int
    """Position less sequence."""
    generation: int
    """The generation of the record with which this segment was added."""
    survived_ns: int = 0
    """When the newest event before this segment was stored, in nanoseconds since 1970; 0 if none survived."""


class LogRecord(msgspec.Struct, frozen=True):
    """One stream, as the deployment knows it.

    Args:
        created: identifies the stream: the time at which the server says that it was created, for example.
        generation: rises by one with each change of this record.
        segments: ordered by their start; never empty.
    """

    created: str
    generation: int
    segments: tuple[Segment, ...]

    @classmethod
    def first(cls, created: str) -> "LogRecord":
        """The record of a stream that never went back: positions are sequences."""
        return cls(created, 1, (Segment(0, 0, 1),))

    @property
    def begins(self) -> int:
        """The first position that the newest segment gives; 0 where the stream never went back."""
        newest = self.segments[-1]
        return newest.start + newest.lift

    def identity(self, deployment: str, stream: str) -> str:
        """Identifies this numbering, for clients: another record, stream or deployment gives another text."""
        text = f"{deployment}/{stream}/{self.created}/{self.generation}"
        return hashlib.sha256(text.encode()).hexdigest()[:_IDENTITY_DIGITS]

    def position(self, seq: int) -> int:
        """The position of a sequence."""
        return seq + self._segment_of(seq).lift

    def sequence(self, position: int) -> int:
        """The sequence of a position. For a position that the stream lost, it is that of the newest event before it."""
        at = bisect_right(self.segments, position, key=lambda segment: segment.start + segment.lift) - 1
        if at < 0:
            return max(0, self.segments[0].start - 1)
        seq = position - self.segments[at].lift
        return seq if at + 1 == len(self.segments) else min(seq, self.segments[at + 1].start - 1)

    def has(self, position: int) -> bool:
        """Whether a position is one that the stream can still hold."""
        return self.position(self.sequence(position)) == position

    def end(self, last_seq: int) -> int:
        """The position up to which to read a stream that ends with this sequence. All later events are above it."""
        newest = self.segments[-1]
        return max(last_seq, newest.start - 1) + newest.lift if newest.lift else last_seq

    def floor(self, seq: int, generation: int) -> int:
        """The position up to which everything was handled.

        Args:
            seq: the sequence up to which everything was handled.
            generation: of the record by which it was read. Events that were renumbered since are to be read again.
        """
        renumbered = [segment.start for segment in self.segments if segment.generation > generation]
        return self.position(min([seq, *(start - 1 for start in renumbered if start)]))

    def survived_ns(self, generation: int) -> int:
        """When the newest event was stored that still has the position that it had in that generation of the record.

        In nanoseconds since 1970; 0 if there is none.
        """
        return min(segment.survived_ns for segment in self.segments if segment.generation > generation)

    def survived_since(self, since_us: int) -> int | None:
        """When the newest event was stored that survived every loss of this stream since a time.

        Args:
            since_us: in microseconds since 1970. A segment that begins with a lower position was added before.

        Returns:
            nanoseconds since 1970, 0 if no event survived; None if nothing was lost since.
        """
        lost = [segment for segment in self.segments if segment.generation > 1]
        return min((segment.survived_ns for segment in lost if segment.start + segment.lift >= since_us), default=None)

    def restored(self, start: int, survived_ns: int, *, now_us: int, given: int) -> "LogRecord":
        """The next record of a stream that lost events and may have other ones in their place.

        Args:
            start: the first sequence that may hold another event than before.
            survived_ns: when the event before it was stored; 0 if there is none.
            now_us: the time, in microseconds since 1970.
            given: the highest position that is known to have been given.
        """
        kept = tuple(segment for segment in self.segments if segment.start < start)
        segment = Segment(start, self._above(given, now_us) - start, self.generation + 1, survived_ns)
        return LogRecord(self.created, self.generation + 1, (*kept, segment))

    def replaced(self, created: str, first_seq: int, *, now_us: int, given: int) -> "LogRecord":
        """The next record after another stream has replaced the known one.

        Args:
            created: identifies the new stream.
            first_seq: the first sequence of the new stream, by its configuration.
            now_us: the time, in microseconds since 1970.
            given: the highest position that is known to have been given.
        """
        begin = max(first_seq, self._above(given, 0 if first_seq >= LIFTED else now_us))
        segment = Segment(first_seq, begin - first_seq, self.generation + 1)
        return LogRecord(created, self.generation + 1, (segment,))

    def _segment_of(self, seq: int) -> Segment:
        at = bisect_right(self.segments, seq, key=lambda segment: segment.start)
        return self.segments[max(0, at - 1)]

    def _above(self, given: int, now_us: int) -> int:
        return max(given + _UNSEEN, self.begins + _UNSEEN, now_us) + 1


_decoder = msgspec.json.Decoder(LogRecord)


def encode_record(record: LogRecord) -> str:
    """The record as JSON."""
    return msgspec.json.encode(record).decode()


def decode_record(text: str) -> LogRecord:
    """Read a record.

    Raises:
        msgspec.DecodeError: the text is not a record.
    """
    return _decoder.decode(text)
