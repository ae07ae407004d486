"""Keeps the newest of some documents, by single-document writes, whatever else writes them at the same time.

Each document has a time. A caller first writes its own document, and then calls `keep_newest`, so the last caller sees
all of them. A document goes only while its time is the one that was seen. If a caller's own document is not among the
newest, because another process has a faster clock or wrote at the same time, its time is raised first.
"""

from dataclasses import dataclass
from typing import Final

from pymongo.asynchronous.collection import AsyncCollection

from fanout.errors import OutcomeUnknown
from fanout.ports.devices import just_after
from services.adapters.mongo.client import Document, reading, writing

ATTEMPTS: Final = 100
"""Each fails only because another caller's attempt has succeeded."""


@dataclass(frozen=True, slots=True)
class Among:
    """The documents of which some stay."""

    query: Document
    """Finds them."""
    time: str
    """The name of the field with their time."""
    keep: int
    """How many stay."""
    drop: Document
    """The update that lets one go, so that the query finds it no more."""


async def keep_newest(collection: AsyncCollection[Document], own_id: str, among: Among) -> list[Document]:
    """Let all go but the newest of some documents. The caller's own stays, unless others become newer meanwhile.

    Args:
        collection: has the documents.
        own_id: the id of the document that the caller has just written.
        among: the documents, and what to do with them.

    Returns:
        those that this call let go, as they were.

    Raises:
        Unavailable: the server cannot be reached.
        OutcomeUnknown: very many callers do the same.
    """
    dropped: list[Document] = []
    for _ in range(ATTEMPTS):
        with reading("devices"):
            found = await collection.find(among.query).to_list()
        found.sort(key=lambda each: (each[among.time], each["_id"]))
        surplus = found[: max(0, len(found) - among.keep)]
        if not surplus or all(each["_id"] != own_id for each in found):
            return dropped
        own = next((each for each in surplus if each["_id"] == own_id), None)
        if own is not None:
            later = {"$set": {among.time: just_after(found[-1][among.time])}}
            await _changed(collection, own, among, later)
        else:
            dropped += [each for each in surplus if await _changed(collection, each, among, among.drop)]
    raise OutcomeUnknown("too many devices of one user are registered at the same time")


async def _changed(collection: AsyncCollection[Document], seen: Document, among: Among, update: Document) -> bool:
    """Update a document, if it is as it was seen. Return whether it was."""
    query = {**among.query, "_id": seen["_id"], among.time: seen[among.time]}
    with writing("a device"):
        result = await collection.update_one(query, update)
    return result.modified_count == 1
