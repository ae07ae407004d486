"""Writes documents of memberships: each change names the version that it replaces, so none undoes another.

A change is tried again with the new document if there was another change in between. No write touches two documents, so
none needs a transaction.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from pymongo import ReturnDocument
from pymongo.errors import BulkWriteError

from fanout.errors import ChannelNotFound
from fanout.ids import new_membership_id
from fanout.ports.imports import NewMembership
from fanout.ports.memberships import Membership
from services.adapters.mongo.client import DUPLICATE_KEY, Database, Document, begun, reading, writing
from services.adapters.mongo.documents import (
    change_of,
    key,
    key_of,
    membership_document,
    membership_of,
    new_membership,
)
from services.adapters.mongo.documents_by_id import DocumentsById, in_batches
from services.adapters.mongo.schema import CHANNELS, MEMBERSHIPS

BATCH: Final = 1_000
"""Documents that are written at once: the event loop waits while they are encoded."""
_AT_ONCE: Final = 16
"""Changes of single documents that run at the same time: fewer than there are connections."""


class MembershipWriter:
    """Begins, ends and renews memberships.

    Args:
        database: with the collections.
        clock: returns microseconds since 1970.
        patience_s: the most seconds to wait while many documents are read; None for the client's own bound.
    """

    def __init__(self, database: Database, clock: Callable[[], int], patience_s: float | None = None) -> None:
        self._documents = database[MEMBERSHIPS]
        self._memberships_by_id = DocumentsById(self._documents, patience_s)
        self.channels_by_id = DocumentsById(database[CHANNELS], patience_s)
        """Reads channels."""
        self._clock = clock

    async def admit(
        self, channel_id: str, user_ids: Sequence[str], joined_at: str, *, readmit: bool, published: bool = False
    ) -> list[Membership]:
        """Write the memberships of users that have no document yet.

        Args:
            channel_id: of the channel.
            user_ids: each once.
            joined_at: of the new memberships.
            readmit: begin a new membership where the one before has ended; otherwise its document stays.
            published: write the new memberships as published.

        Returns:
            the memberships of all these users, in the order given.

        Raises:
            ChannelNotFound: there is no such channel.
            OutcomeUnknown: some may be written.
            Unavailable: the server could not be asked for the channel.
        """
        floors = await self._floors({channel_id})
        members: list[Membership] = []
        for some in in_batches(user_ids, BATCH):
            new = [NewMembership(channel_id, user_id, joined_at) for user_id in some]
            found, _ = await self._admit_some(new, floors, readmit=readmit, published=published)
            members += [found[key(channel_id, user_id)] for user_id in some]
        return members

    async def admit_all(self, new: Sequence[NewMembership], *, published: bool) -> int:
        """Begin the memberships that there are not, in any number of channels.

        Args:
            new: each user and channel once.
            published: write new documents as published.

        Returns:
            how many began.

        Raises:
            ChannelNotFound, OutcomeUnknown, Unavailable: as `admit`.
        """
        floors = await self._floors({each.channel_id for each in new})
        began = 0
        for some in in_batches(new, BATCH):
            began += (await self._admit_some(some, floors, readmit=True, published=published))[1]
        return began

    async def end(self, channel_id: str, user_id: str, left_at: str) -> Membership | None:
        """End a membership; see `Memberships.remove`."""
        while True:
            membership = await self.find(channel_id, user_id)
            if membership is None or membership.left_at is not None:
                return membership
            ended = await self._change(membership, {"$set": {"active": False, "left_at": left_at}})
            if ended is not None:
                return ended

    async def renew(self, memberships: Sequence[Membership]) -> list[Membership]:
        """Give unpublished changes new versions; see `Memberships.renew`."""
        renewed: list[Membership] = []
        for some in in_batches(memberships, _AT_ONCE):
            changes = [self._change(each, {}, only={"untold": each.version}) for each in some]
            renewed += filter(None, await asyncio.gather(*changes))
        return renewed

    async def find(self, channel_id: str, user_id: str) -> Membership | None:
        """The newest document of a user and a channel, or None."""
        with reading("a membership"):
            document = await self._documents.find_one({"_id": key(channel_id, user_id)})
        return None if document is None else membership_of(document)

    async def _admit_some(
        self, new: Sequence[NewMembership], floors: Mapping[str, int], *, readmit: bool, published: bool
    ) -> tuple[dict[str, Membership], int]:
        """The documents of these users and channels by their keys, and how many of the memberships began here."""
        missing = {key(each.channel_id, each.user_id): each for each in new}
        admitted: dict[str, Membership] = {}
        began = 0
        with begun("adding members"):
            while missing:
                made = await self._insert(list(missing.values()), floors, published=published)
                present = {name: each for name, each in missing.items() if name not in made}
                found, again = await self._admitted(present, readmit=readmit)
                admitted |= made | found
                began += len(made) + again
                missing = {name: each for name, each in present.items() if name not in found}
        return admitted, began

    async def _insert(
        self, new: Sequence[NewMembership], floors: Mapping[str, int], *, published: bool
    ) -> dict[str, Membership]:
        """Insert documents, and return the memberships of those users that had none."""
        now = self._clock()
        memberships = [new_membership(each, max(now, floors[each.channel_id] + 1), published=published) for each in new]
        refused: set[int] = set()
        with writing("adding members"):
            try:
                await self._documents.insert_many(map(membership_document, memberships), ordered=False)
            except BulkWriteError as error:
                refused = duplicates(error)
        made = [each for at, each in enumerate(memberships) if at not in refused]
        return {key_of(each): each for each in await self._above_floors(made)}

    async def _admitted(
        self, wanted: Mapping[str, NewMembership], *, readmit: bool
    ) -> tuple[dict[str, Membership], int]:
        """Read documents, and begin new memberships where they have ended. Return how many those are, too.

        A document that another call changes or deletes meanwhile is left out.
        """
        members = await self._found(list(wanted))
        began = 0
        ended = [name for name, each in members.items() if each.left_at is not None and readmit]
        for some in in_batches(ended, _AT_ONCE):
            again = await asyncio.gather(*(self._readmit(members[name], wanted[name].joined_at) for name in some))
            for name, after in zip(some, again, strict=True):
                del members[name]
                if after is not None:
                    members[name] = after
                    began += 1
        return members, began

    async def _found(self, keys: Sequence[str]) -> dict[str, Membership]:
        if not keys:
            return {}
        with reading("memberships"):
            documents = await self._memberships_by_id.found(keys)
        return {key_of(each): each for each in map(membership_of, documents)}

    async def _readmit(self, ended: Membership, joined_at: str) -> Membership | None:
        fields = {"membership_id": new_membership_id(), "joined_at": joined_at, "active": True}
        return await self._change(ended, {"$set": fields, "$unset": {"left_at": ""}})

    async def _above_floors(self, made: list[Membership]) -> list[Membership]:
        """Lift versions above those of documents that were deleted since the floors were read."""
        floors = await self._floors({each.channel_id for each in made})
        lifted = []
        for each in made:
            floor = floors[each.channel_id]
            lifted.append(await self._lifted(each, floor) if each.version <= floor else each)
        return lifted

    async def _lifted(self, membership: Membership, floor: int) -> Membership:
        newest: Membership | None = membership
        while newest is not None and newest.version <= floor:
            newest = await self._change(newest, {}, above=floor) or await self.find(
                membership.channel_id, membership.user_id
            )
        return newest or membership

    async def _floors(self, channel_ids: Collection[str]) -> dict[str, int]:
        """The highest version of the deleted documents of each channel.

        Raises:
            ChannelNotFound: one of the channels does not exist.
        """
        floors: dict[str, int] = {}
        for some in in_batches(list(channel_ids), BATCH):
            with reading("channels"):
                found = await self.channels_by_id.found(some, {"pruned": 1})
            floors |= {str(each["_id"]): int(each.get("pruned", 0)) for each in found}
        if missing := set(channel_ids) - floors.keys():
            raise ChannelNotFound(f"there is no channel {min(missing)}")
        return floors

    async def _change(
        self, old: Membership, update: Mapping[str, Document], *, above: int = 0, only: Document | None = None
    ) -> Membership | None:
        """Change a document, with a new version that is unpublished.

        Args:
            old: the membership that the document holds.
            update: further operators.
            above: a version to exceed, beside that of `old`.
            only: a further condition on the document.

        Returns:
            what the document holds now; None if it holds another version by now, or `only` does not hold.
        """
        version = max(self._clock(), old.version + 1, above + 1)
        operators: dict[str, Any] = {
            "$set": {**update.get("$set", {}), "version": version, "untold": version},
            "$unset": {**update.get("$unset", {}), "told_at": ""},
        }
        with writing("changing a membership"):
            document = await self._documents.find_one_and_update(
                {**change_of(old), **(only or {})}, operators, return_document=ReturnDocument.AFTER
            )
        return None if document is None else membership_of(document)


def duplicates(error: BulkWriteError) -> set[int]:
    """The places of the documents whose key exists already.

    Raises:
        BulkWriteError: another document was refused, or the majority of the replicas did not acknowledge.
    """
    details = error.details or {}
    errors = details.get("writeErrors", ())
    if details.get("writeConcernErrors") or any(each["code"] != DUPLICATE_KEY for each in errors):
        raise error
    return {int(each["index"]) for each in errors}
