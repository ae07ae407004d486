"""Imports into the database of the membership store: unordered bulk writes, and reads that nobody waits for."""

from collections.abc import Callable, Collection, Sequence
from typing import Final

from pymongo.errors import BulkWriteError, DuplicateKeyError

from fanout.ports.imports import NewMembership
from fanout.ports.memberships import Channel
from services.adapters.mongo.client import Database, begun, reading, writing
from services.adapters.mongo.documents import channel_document, key
from services.adapters.mongo.documents_by_id import in_batches
from services.adapters.mongo.membership_writer import BATCH, MembershipWriter, duplicates
from services.adapters.mongo.schema import CHANNELS, IMPORTS

PATIENCE_S: Final = 300.0
"""The most seconds that an import waits while the server reads many documents."""


class MongoImports:
    """`fanout.ports.imports.Imports`. The caller that made the client closes it.

    Args:
        database: with the collections.
        clock: returns microseconds since 1970.
    """

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._channels = database[CHANNELS]
        self._imports = database[IMPORTS]
        self._writer = MembershipWriter(database, clock, PATIENCE_S)

    async def missing_channels(self, channel_ids: Collection[str]) -> set[str]:
        """See the port."""
        missing = set(channel_ids)
        for some in in_batches(list(channel_ids), BATCH):
            with reading("channels"):
                found = await self._writer.channels_by_id.found(some, {"_id": 1})
            missing -= {str(document["_id"]) for document in found}
        return missing

    async def create_channels(self, channels: Sequence[Channel]) -> int:
        """See the port."""
        created = 0
        with begun("creating channels"):
            for some in in_batches(channels, BATCH):
                created += await self._insert(some)
        return created

    async def add_memberships(self, new: Sequence[NewMembership], *, published: bool = False) -> int:
        """See the port."""
        once = {key(each.channel_id, each.user_id): each for each in reversed(new)}  # the first of each is kept
        return await self._writer.admit_all(list(once.values()), published=published)

    async def progress(self, name: str) -> str | None:
        """See the port."""
        with reading("an import's progress"):
            kept = await self._imports.find_one({"_id": name})
        return None if kept is None else str(kept["progress"])

    async def keep_progress(self, name: str, progress: str) -> None:
        """See the port."""
        with writing("keeping an import's progress"):
            try:
                await self._imports.replace_one({"_id": name}, {"progress": progress}, upsert=True)
            except DuplicateKeyError:  # another import of the same file kept its own for the first time
                await self._imports.replace_one({"_id": name}, {"progress": progress})

    async def _insert(self, channels: Sequence[Channel]) -> int:
        refused: set[int] = set()
        with writing("creating channels"):
            try:
                await self._channels.insert_many([channel_document(each, None) for each in channels], ordered=False)
            except BulkWriteError as error:
                refused = duplicates(error)
        return len(channels) - len(refused)
