"""Buckets: the parts of a channel's history, each a partition in Cassandra.

The bucket of a message follows from its `seq` alone, so it is the same whenever the message comes again, and rises with
`seq` whatever the clocks of the log's servers do. See `docs/adr/0024-buckets-by-position.md`.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

BUCKET_EVENTS: Final = 1 << 19
"""The positions of the log that one bucket covers: the bound of the rows of a partition."""
HINTS: Final = (16, 64, 256)
"""The counts at which a writer notes how many messages of a bucket it has written. A page has 200 at most."""
_REMEMBERED: Final = 100_000


def bucket_of(seq: int) -> int:
    """The bucket of a position. It is 0 or more for every `seq` from 0."""
    return max(seq, 0) // BUCKET_EVENTS


class Bucket(NamedTuple):
    """A bucket in which a channel has messages."""

    number: int
    at_least: int = 1
    """About how many it has at least. It only chooses how many buckets are read at once."""


def covering(buckets: Sequence[Bucket], wanted: int, cut: int) -> int:
    """How many of the first buckets together probably have enough messages.

    Args:
        buckets: in the order of reading.
        wanted: the number of messages.
        cut: a bucket that may have nothing left to read, since reading begins inside it.
    """
    for number, bucket in enumerate(buckets, 1):
        wanted -= 0 if bucket.number == cut else bucket.at_least
        if wanted <= 0:
            return number
    return len(buckets)


class KnownBuckets:
    """The buckets that a writer has written to lately: they are registered, and it has counted its messages there."""

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._remembered = remembered
        self._counts: OrderedDict[tuple[str, int], int] = OrderedDict()

    def unknown(self, buckets: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
        """Those of some buckets, by channel and number, of which nothing is known, each once."""
        return [bucket for bucket in dict.fromkeys(buckets) if bucket not in self._counts]

    def registered(self, buckets: Iterable[tuple[str, int]]) -> None:
        """Note that buckets are in the table of buckets."""
        for bucket in buckets:
            self._counts.setdefault(bucket, 0)
        while len(self._counts) > self._remembered:
            self._counts.popitem(last=False)

    def written(self, bucket: tuple[str, int], messages: int) -> int | None:
        """Count new messages of a bucket; the hint that is reached by them, or None."""
        before = self._counts.pop(bucket, 0)
        self._counts[bucket] = count = before + messages
        return max((hint for hint in HINTS if before < hint <= count), default=None)
