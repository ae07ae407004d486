"""The followers of threads in MongoDB, in the database of the membership store.

A follower's document has `_id` (thread and user), `thread_id`, `user_id`, `channel_id`, and the `membership_id` of the
membership by which the user follows. It counts only while that membership lasts. So a membership that ends takes its
followers along in the same write, and their documents are deleted with its own, later.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import DeleteMany, UpdateOne
from pymongo.errors import BulkWriteError

from fanout.ports.memberships import Membership
from services.adapters.mongo.client import Database, Document, reading, writing
from services.adapters.mongo.documents import key
from services.adapters.mongo.documents_by_id import in_batches
from services.adapters.mongo.membership_writer import BATCH, duplicates
from services.adapters.mongo.schema import FOLLOWERS, MEMBERSHIPS


class MongoFollowers:
    """`fanout.ports.followers.Followers`, as a part of the membership store.

    Args:
        database: with the collections.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def follow(self, channel_id: str, thread_id: str, user_ids: Sequence[str]) -> None:
        """See the port. Nothing is written if all of them follow already."""
        for some in in_batches(list(dict.fromkeys(user_ids)), BATCH):
            members = await self._members([key(channel_id, user_id) for user_id in some])
            query = {"_id": {"$in": [key(thread_id, user_id) for user_id in some]}}
            following = {each["user_id"]: each["membership_id"] for each in await self._followers(query)}
            missing = {user: by for user, by in members.items() if following.get(user) != by}
            await self._upsert([_following(channel_id, thread_id, user, by) for user, by in missing.items()])

    async def followers_of(self, thread_id: str) -> list[str]:
        """See the port."""
        users: list[str] = []
        for some in in_batches(await self._followers({"thread_id": thread_id}), BATCH):
            members = await self._members([key(each["channel_id"], each["user_id"]) for each in some])
            users += [each["user_id"] for each in some if members.get(each["user_id"]) == each["membership_id"]]
        return sorted(users)

    async def remove_followers(self, ended: Sequence[Membership]) -> None:
        """Delete the documents of what users followed by memberships that have ended."""
        fields = ("channel_id", "user_id", "membership_id")
        deletions = [DeleteMany({name: getattr(each, name) for name in fields}) for each in ended]
        with writing("deleting followers"):
            await self._database[FOLLOWERS].bulk_write(deletions, ordered=False)

    async def _members(self, keys: list[str]) -> Mapping[str, str]:
        """The memberships that last, of those with some keys: their ids, by user."""
        query = {"_id": {"$in": keys}, "active": True}
        with reading("memberships"):
            found = await self._database[MEMBERSHIPS].find(query, {"user_id": 1, "membership_id": 1}).to_list()
        return {document["user_id"]: document["membership_id"] for document in found}

    async def _followers(self, query: Document) -> list[Document]:
        with reading("followers"):
            return await self._database[FOLLOWERS].find(query).to_list()

    async def _upsert(self, updates: list[UpdateOne]) -> None:
        while updates:
            with writing("following a thread"):
                try:
                    await self._database[FOLLOWERS].bulk_write(updates, ordered=False)
                except BulkWriteError as error:
                    # Another call has inserted these documents meanwhile: the next attempt finds and updates them.
                    updates = [updates[place] for place in sorted(duplicates(error))]
                else:
                    return


def _following(channel_id: str, thread_id: str, user_id: str, membership_id: str) -> UpdateOne:
    fields: dict[str, Any] = {
        "thread_id": thread_id,
        "user_id": user_id,
        "channel_id": channel_id,
        "membership_id": membership_id,
    }
    return UpdateOne({"_id": key(thread_id, user_id)}, {"$set": fields}, upsert=True)
