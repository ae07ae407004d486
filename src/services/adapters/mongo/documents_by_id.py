"""Documents by their ids: many in one query, or one in each while the server does not answer such queries in time.

A server may look at every document for a query of many ids: an overloaded one, or one that speaks MongoDB's protocol
and has no index for it. A query that nobody waits for any more would go on there, so the server ends it, and it is not
simply repeated.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import ExecutionTimeout, NetworkTimeout

from fanout import machine
from services.adapters.mongo.client import Document

AT_ONCE: Final = 16
"""Commands for single documents that run at the same time: fewer than there are connections."""
ANSWER_WITHIN_MS: Final = 2_000
"""Milliseconds after which the server ends a query of many ids: sooner than the client gives it up, and repeats it."""
READ_AT_ONCE: Final = 4
"""Documents that are read one by one at the same time: the server is slow, also when it takes new connections."""
ONE_BY_ONE_S: Final = 120.0
"""Seconds for which documents are read one by one after a query of many was not answered in time."""

_T = TypeVar("_T")


class DocumentsById:
    """Reads documents of a collection.

    Args:
        collection: the documents.
        clock: monotonic seconds.
    """

    def __init__(self, collection: AsyncCollection[Document], clock: Callable[[], float] = machine.monotonic_s) -> None:
        self._collection = collection
        self._clock = clock
        self._one_by_one_until = float("-inf")

    async def found(self, ids: Sequence[str], projection: Document | None = None) -> list[Document]:
        """The documents that exist, in no order.

        Raises:
            PyMongoError: the server cannot be asked.
        """
        if len(ids) > 1 and self._clock() >= self._one_by_one_until:
            try:
                return await self._many(ids, projection)
            except (ExecutionTimeout, NetworkTimeout):
                self._one_by_one_until = self._clock() + ONE_BY_ONE_S
        return await self._one_by_one(ids, projection)

    async def _many(self, ids: Sequence[str], projection: Document | None) -> list[Document]:
        query, more = {"_id": {"$in": list(ids)}}, len(ids) + 1
        # All in the first batch: the bound is one of a command, and reading a further batch is another command.
        cursor = self._collection.find(query, projection, batch_size=more, max_time_ms=ANSWER_WITHIN_MS)
        return await cursor.to_list()

    async def _one_by_one(self, ids: Sequence[str], projection: Document | None) -> list[Document]:
        found: list[Document] = []
        for some in in_batches(ids, READ_AT_ONCE):
            reads = (self._collection.find_one({"_id": each}, projection) for each in some)
            found += filter(None, await asyncio.gather(*reads))
        return found


def in_batches(values: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """Split a sequence into parts of at most `size` values."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
