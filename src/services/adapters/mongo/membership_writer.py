"""Writes documents of memberships: each change names the version that it replaces, so none undoes another.

A change is tried again with the new document if there was another change in between. No write touches two documents, so
none needs a transaction.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from pymongo import ReturnDocument
from pymongo.errors import BulkWriteError

from fanout.errors import ChannelNotFound
from fanout.ports.memberships import Membership
from services.adapters.mongo.client import DUPLICATE_KEY, Database, Document, begun, reading, writing
from services.adapters.mongo.documents import change_of, key, membership_document, membership_of, new_membership
from services.adapters.mongo.schema import CHANNELS, MEMBERSHIPS

BATCH: Final = 1_000
"""Documents that are written at once: the event loop waits while they are encoded."""
_AT_ONCE: Final = 16
"""Changes of single documents that run at the same time: fewer than there are connections."""

_T = TypeVar("_T")


class MembershipWriter:
    """Begins, ends and renews memberships.

    Args:
        database: with the collections.
        clock: returns microseconds since 1970.
    """

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._channels = database[CHANNELS]
        self._documents = database[MEMBERSHIPS]
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
        floor = await self._floor(channel_id)
        members: list[Membership] = []
        with begun("adding members"):
            for some in in_batches(user_ids, BATCH):
                admitted: dict[str, Membership] = {}
                while missing := [user_id for user_id in some if user_id not in admitted]:
                    version = max(self._clock(), floor + 1)
                    new = [
                        new_membership(channel_id, user, version, joined_at, published=published) for user in missing
                    ]
                    admitted |= await self._insert(new)
                    present = [user_id for user_id in missing if user_id not in admitted]
                    admitted |= await self._admitted(channel_id, present, joined_at if readmit else None)
                members += [admitted[user_id] for user_id in some]
        return members

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

    async def _insert(self, memberships: Sequence[Membership]) -> dict[str, Membership]:
        """Insert documents, and return the memberships of those users that had none."""
        documents = [membership_document(each) for each in memberships]
        refused: set[int] = set()
        with writing("adding members"):
            try:
                await self._documents.insert_many(documents, ordered=False)
            except BulkWriteError as error:
                refused = duplicates(error)
        made = [each for at, each in enumerate(memberships) if at not in refused]
        return {each.user_id: each for each in await self._above_floor(made)}

    async def _admitted(
        self, channel_id: str, user_ids: Sequence[str], readmitted_at: str | None
    ) -> dict[str, Membership]:
        """Read documents, and begin new memberships where they have ended.

        A document that another call changes or deletes meanwhile is left out.
        """
        members = await self._found(channel_id, user_ids)
        if readmitted_at is None:
            return members
        ended = [each for each in members.values() if each.left_at is not None]
        for some in in_batches(ended, _AT_ONCE):
            again = await asyncio.gather(*(self._readmit(each, readmitted_at) for each in some))
            for before, after in zip(some, again, strict=True):
                del members[before.user_id]
                if after is not None:
                    members[before.user_id] = after
        return members

    async def _found(self, channel_id: str, user_ids: Sequence[str]) -> dict[str, Membership]:
        if not user_ids:
            return {}
        keys = [key(channel_id, user_id) for user_id in user_ids]
        with reading("memberships"):
            documents = await self._documents.find({"_id": {"$in": keys}}).to_list()
        return {each.user_id: each for each in map(membership_of, documents)}

    async def _readmit(self, ended: Membership, joined_at: str) -> Membership | None:
        new = new_membership(ended.channel_id, ended.user_id, 0, joined_at, published=False)
        fields = {"membership_id": new.membership_id, "joined_at": joined_at, "active": True}
        return await self._change(ended, {"$set": fields, "$unset": {"left_at": ""}})

    async def _above_floor(self, made: list[Membership]) -> list[Membership]:
        """Lift versions above those of documents that were deleted since the floor was read."""
        if not made:
            return made
        floor = await self._floor(made[0].channel_id)
        return [await self._lifted(each, floor) if each.version <= floor else each for each in made]

    async def _lifted(self, membership: Membership, floor: int) -> Membership:
        newest: Membership | None = membership
        while newest is not None and newest.version <= floor:
            newest = await self._change(newest, {}, above=floor) or await self.find(
                membership.channel_id, membership.user_id
            )
        return newest or membership

    async def _floor(self, channel_id: str) -> int:
        """The highest version of the channel's deleted documents.

        Raises:
            ChannelNotFound: there is no such channel.
        """
        with reading("a channel"):
            channel = await self._channels.find_one({"_id": channel_id}, {"pruned": 1})
        if channel is None:
            raise ChannelNotFound(f"there is no channel {channel_id}")
        return int(channel.get("pruned", 0))

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


def in_batches(values: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """Split a sequence into parts of at most `size` values."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


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
