"""Documents by their ids, many in one query, with a patience that can grow.

A server may look at every document for such a query: an overloaded one, or one that speaks MongoDB's protocol and uses
no index for it. Then it takes the longer the more documents there are, however few are asked for.
"""

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from pymongo import timeout
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import ExecutionTimeout, NetworkTimeout

from services.adapters.mongo.client import TIMEOUT_S, Document

LONGER: Final = 4.0
"""By how much the patience grows after a query that was not answered in time."""

_T = TypeVar("_T")


class DocumentsById:
    """Reads documents of a collection.

    Args:
        collection: the documents.
        longest_s: the most seconds to wait for an answer; None for the client's own bound, which does not grow.
    """

    def __init__(self, collection: AsyncCollection[Document], longest_s: float | None = None) -> None:
        self._collection = collection
        self._longest_s = longest_s
        self._patience_s = TIMEOUT_S

    async def found(self, ids: Sequence[str], projection: Document | None = None) -> list[Document]:
        """The documents that exist, in no order.

        Raises:
            PyMongoError: the server cannot be asked, or gives no answer in time.
        """
        if self._longest_s is None:
            return await self._read(ids, projection)
        while True:
            try:
                with timeout(self._patience_s):  # the server ends the query then, too
                    return await self._read(ids, projection)
            except (ExecutionTimeout, NetworkTimeout):
                if self._patience_s >= self._longest_s:
                    raise
                self._patience_s = min(self._longest_s, LONGER * self._patience_s)

    async def _read(self, ids: Sequence[str], projection: Document | None) -> list[Document]:
        # In one batch: the server's bound is one of a command, and reading a further batch is another command.
        query, more = {"_id": {"$in": list(ids)}}, len(ids) + 1
        return await self._collection.find(query, projection, batch_size=more).to_list()


def in_batches(values: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """Split a sequence into parts of at most `size` values."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
