"""Reading pages of channels, or of threads, across their buckets, and counting the rows there."""

from collections import OrderedDict
from typing import Final, NamedTuple

from fanout.ports.messages import Position
from services.adapters.cassandra.bridge import Request, Rows
from services.adapters.cassandra.buckets import Bucket, bucket_of, covering
from services.adapters.cassandra.connection import CassandraConnection
from services.adapters.cassandra.statements import RowStatements

_LOWEST: Final = Position(-1)
_HIGHEST: Final = Position((1 << 63) - 1)
_REMEMBERED_OWNERS: Final = 10_000
_REMEMBERED_BUCKETS: Final = 1_000
_COUNTED_TOGETHER: Final = 1_000
"""Buckets whose rows are counted at a time."""


class Span(NamedTuple):
    """The positions between two others, in a direction of reading."""

    owner: str
    """The channel or thread."""
    before: Position
    after: Position
    upwards: bool

    @classmethod
    def of(cls, owner: str, before: Position | None, after: Position | None, *, upwards: bool) -> "Span":
        """The span below `before` and above `after`; None for no bound."""
        return cls(owner, before or _HIGHEST, after or _LOWEST, upwards=upwards)

    @property
    def first_bucket(self) -> int:
        """The bucket in which reading begins."""
        return bucket_of(self.after.seq if self.upwards else self.before.seq)


class RowReading:
    """Reads the rows of one table, a page in one round trip where the buckets of its owner are as they were.

    The list of buckets and the buckets that it probably names are read at the same time. The list decides: what it
    names beyond them is read after it.

    Args:
        connection: to the cluster.
        statements: of the table.
    """

    def __init__(self, connection: CassandraConnection, statements: RowStatements) -> None:
        self._connection = connection
        self._cql = statements
        self._lists: OrderedDict[str, dict[int, Bucket]] = OrderedDict()
        self.round_trips = 0
        """Since the start; requests that are sent together count once."""

    async def rows(self, span: Span, wanted: int) -> Rows:
        """The first rows of a span, in its direction.

        Args:
            span: what is read.
            wanted: the number of rows.
        """
        window = wanted + 1
        guessed = self._choose(span, self._expected(span), wanted)
        (listed, *parts) = await self._together(
            [self._list(span, window), *(self._bucket(span, each.number, wanted) for each in guessed)]
        )
        read = dict(zip([each.number for each in guessed], parts, strict=True))
        found: Rows = []
        while True:
            buckets = [Bucket(number, hint or 1) for number, hint in listed]
            self._remember(span.owner, buckets)
            found = await self._from(span, buckets, found, wanted, read)
            if len(found) >= wanted or len(listed) < window:
                return found[:wanted]
            (listed,) = await self._together([self._list(span, window, beyond=buckets[-1].number)])

    async def count(self, span: Span) -> int:
        """The number of rows above `span.after` and up to `span.before`, by their `seq` alone, bucket by bucket."""
        counted = 0
        beyond: int | None = None
        while True:
            (listed,) = await self._together([self._list(span, _COUNTED_TOGETHER, beyond)])
            bounds = span.after.seq, span.before.seq
            requests = [Request(self._cql.count, (span.owner, number, *bounds)) for number, _ in listed]
            counted += sum(int(rows[0][0]) for rows in await self._together(requests))
            if len(listed) < _COUNTED_TOGETHER:
                return counted
            beyond = listed[-1][0]

    async def _from(self, span: Span, buckets: list[Bucket], found: Rows, wanted: int, read: dict[int, Rows]) -> Rows:
        """`found`, continued with the rows of some buckets."""
        while buckets and len(found) < wanted:
            chosen = self._choose(span, buckets, wanted - len(found))
            buckets = buckets[len(chosen) :]
            unread = [each.number for each in chosen if each.number not in read]
            if unread:
                parts = await self._together([self._bucket(span, number, wanted) for number in unread])
                read |= zip(unread, parts, strict=True)
            for each in chosen:
                found = found + read[each.number]
        return found

    def _choose(self, span: Span, buckets: list[Bucket], wanted: int) -> list[Bucket]:
        return buckets[: covering(buckets, wanted, span.first_bucket)]

    async def _together(self, requests: list[Request]) -> list[Rows]:
        self.round_trips += 1
        return await self._connection.execute_all("reading the history", requests)

    def _list(self, span: Span, window: int, beyond: int | None = None) -> Request:
        low, high = bucket_of(span.after.seq), bucket_of(span.before.seq)
        if beyond is not None:
            low, high = (beyond + 1, high) if span.upwards else (low, beyond - 1)
        statement = self._cql.buckets_up if span.upwards else self._cql.buckets_down
        return Request(statement, (span.owner, high, low, window))

    def _bucket(self, span: Span, number: int, wanted: int) -> Request:
        statement = self._cql.oldest_first if span.upwards else self._cql.newest_first
        return Request(statement, (span.owner, number, *span.before, *span.after, wanted))

    def _expected(self, span: Span) -> list[Bucket]:
        """The buckets of a span that were in the lists read lately, in the direction of reading."""
        low, high = bucket_of(span.after.seq), bucket_of(span.before.seq)
        known = self._lists.get(span.owner, {})
        return [known[number] for number in sorted(known, reverse=not span.upwards) if low <= number <= high]

    def _remember(self, owner: str, buckets: list[Bucket]) -> None:
        known = self._lists.setdefault(owner, {})
        if len(known) > _REMEMBERED_BUCKETS:
            known.clear()
        known.update((each.number, each) for each in buckets)
        self._lists.move_to_end(owner)
        if len(self._lists) > _REMEMBERED_OWNERS:
            self._lists.popitem(last=False)
