"""What a deployment keeps of a stream, so that positions in it rise even where the stream itself went back.

A stream that was restored, or lost its newest events, gives sequences again that it gave before. So what readers see is
not the sequence but the *position*: the sequence and a lift, which is above every position given before wherever the
stream was found changed. Contract section 4, "When the log goes back".
"""

from bisect import bisect_right
from typing import Final

import msgspec

LARGEST_POSITION: Final = (1 << 53) - 1
"""JavaScript's clients read a position as a double."""

LIFTED: Final = 10**15
"""A stream whose first sequence is at least this was created with a lift: microseconds since 1970, in 2001."""


RETOLD_S: Final = 3_000.0
"""Changes of memberships are told again that are at most so old; what lies further back is loaded from the store.

Less than the hour for which a store keeps memberships that ended, since the log may be away for some of it.
"""


_UNSEEN: Final = 1_000_000
"""Positions that others may have been given since: far more than a stream stores between two comparisons."""


class Segment(msgspec.Struct, frozen=True):
    """The events from one sequence on, up to the next segment."""

    start: int
    """The first sequence."""
    lift: int
    """Position less sequence."""
    generation: int
    """Of the record that this segment came with."""
    survived_ns: int = 0
    """When the newest event below it was stored, in nanoseconds since 1970; 0 where none survived."""


class LogRecord(msgspec.Struct, frozen=True):
    """One stream, as the deployment knows it.

    Args:
        created: when the server says that the stream was created, or whatever else identifies it.
        generation: rises by one with each change of this record.
        segments: by their start, rising; never empty.
    """

    created: str
    generation: int
    segments: tuple[Segment, ...]

    @classmethod
    def first(cls, created: str) -> "LogRecord":
        """The record of a stream that was never known to go back: positions are sequences."""
        return cls(created, 1, (Segment(0, 0, 1),))

    def position(self, seq: int) -> int:
        """The position of a sequence."""
        return seq + self._segment_of(seq).lift

    def sequence(self, position: int) -> int:
        """The sequence of a position; of one that the stream does not have any more, that of the newest one before."""
        at = bisect_right(self.segments, position, key=lambda segment: segment.start + segment.lift) - 1
        if at < 0:
            return max(0, self.segments[0].start - 1)
        seq = position - self.segments[at].lift
        return seq if at + 1 == len(self.segments) else min(seq, self.segments[at + 1].start - 1)

    def has(self, position: int) -> bool:
        """Whether a position is one of those that the stream can still have."""
        return self.position(self.sequence(position)) == position

    def end(self, last_seq: int) -> int:
        """The position up to which a stream is read that ends with this sequence; below each that is still to come."""
        newest = self.segments[-1]
        return max(last_seq, newest.start - 1) + newest.lift if newest.lift else last_seq

    def floor(self, seq: int, generation: int) -> int:
        """The position up to which everything was handled.

        Args:
            seq: up to where somebody handled everything.
            generation: of the record by which it was read; what was renumbered since is to be read again.
        """
        renumbered = [segment.start for segment in self.segments if segment.generation > generation]
        return self.position(min([seq, *(start - 1 for start in renumbered if start)]))

    def survived_ns(self, generation: int) -> int:
        """When the newest event was stored that is still where it was when this record had that generation.

        In nanoseconds since 1970; 0 where none is.
        """
        return min(segment.survived_ns for segment in self.segments if segment.generation > generation)

    def survived_since(self, since_us: int) -> int | None:
        """When the newest event was stored that has outlived all that this stream lost since a time.

        Args:
            since_us: in microseconds since 1970. What begins with a position from before was renumbered before.

        Returns:
            nanoseconds since 1970, 0 where no event has; None where nothing was lost since.
        """
        lost = [segment for segment in self.segments if segment.generation > 1]
        return min((segment.survived_ns for segment in lost if segment.start + segment.lift >= since_us), default=None)

    def restored(self, start: int, survived_ns: int, *, now_us: int, given: int) -> "LogRecord":
        """The next record of a stream that was found to have other events than it had.

        Args:
            start: the first sequence that may be of another event.
            survived_ns: when the event before it was stored; 0 where there is none.
            now_us: the time, in microseconds since 1970.
            given: the highest position that is known to have been given.
        """
        kept = tuple(segment for segment in self.segments if segment.start < start)
        segment = Segment(start, self._above(given, now_us) - start, self.generation + 1, survived_ns)
        return LogRecord(self.created, self.generation + 1, (*kept, segment))

    def replaced(self, created: str, first_seq: int, *, now_us: int, given: int) -> "LogRecord":
        """The next record where another stream stands in the place of the one that was known.

        Args:
            created: of the one that is there.
            first_seq: its first sequence, by its configuration.
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
        newest = self.segments[-1]
        return max(given + _UNSEEN, newest.start + newest.lift + _UNSEEN, now_us) + 1


_decoder = msgspec.json.Decoder(LogRecord)


def encode_record(record: LogRecord) -> str:
    """The record as JSON."""
    return msgspec.json.encode(record).decode()


def decode_record(text: str) -> LogRecord:
    """Read a record.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return _decoder.decode(text)
