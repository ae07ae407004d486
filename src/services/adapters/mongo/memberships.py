"""The membership store in MongoDB."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self, cast

from bson import decode_all
from pymongo import AsyncMongoClient, DeleteOne, UpdateOne
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern

from fanout import packed_ids
from fanout.errors import ChannelExists
from fanout.membership_versions import now_us
from fanout.ports.memberships import ENDED_KEPT_S, Channel, Membership
from services.adapters.mongo.client import (
    Database,
    Document,
    begun,
    database_of,
    make_client,
    opening,
    reading,
    writing,
)
from services.adapters.mongo.deployment import MongoDeployment
from services.adapters.mongo.devices import MongoDevices
from services.adapters.mongo.documents import (
    change_of,
    channel_document,
    channel_of,
    key,
    key_of,
    membership_of,
)
from services.adapters.mongo.documents_by_id import in_batches
from services.adapters.mongo.followers import MongoFollowers
from services.adapters.mongo.imports import MongoImports
from services.adapters.mongo.membership_writer import BATCH, MembershipWriter
from services.adapters.mongo.schema import CHANNELS, MEMBERSHIPS, check_schema, create_schema
from services.runtime.stored_ids import pack_stored
from services.runtime.time_slice import TimeSlice

_UNPUBLISHED: Final = {"untold": {"$gt": 0}}
READ_AT_ONCE: Final = 500
"""Ids of one batch of a long list: the loop waits while a batch is received and decoded, for 1 to 4 ms."""
_MAJORITY: Final = ReadConcern("majority")
"""For reads of what is then published: a change of another primary must not undo it."""


class Inspected(NamedTuple):
    """The result of `MongoMemberships.look`."""

    database: str
    created: bool
    """Whether the collections and indexes are there."""
    deployment: str | None
    """The deployment's id, if one was made."""
    weak: tuple[str, ...]
    """Settings that work but should be changed, a sentence each."""


class MongoMemberships(MongoFollowers, MongoDevices):
    """`fanout.ports.memberships.Memberships` in a database of MongoDB, with followers of threads, and devices.

    Args:
        client: is closed with the store.
        database: with the collections.
        clock: returns microseconds since 1970.
    """

    def __init__(
        self, client: AsyncMongoClient[Document], database: Database, clock: Callable[[], int] = now_us
    ) -> None:
        super().__init__(database)
        self._client = client
        self._channels = database[CHANNELS]
        self._documents = database[MEMBERSHIPS]
        self._writer = MembershipWriter(database, clock)
        self._clock = clock
        self._slice = TimeSlice()
        self.deployment = MongoDeployment(database)
        """The deployment, which the same database keeps."""
        self.imports = MongoImports(database, clock)
        """Bulk writes to the same database."""

    @classmethod
    async def open(
        cls, url: str, *, prefix: str = "", clock: Callable[[], int] = now_us, timeout_s: float | None = None
    ) -> Self:
        """Connect to a server, and create collections and indexes that are missing.

        Args:
            url: `mongodb://` or `mongodb+srv://`; the database is the one that it names, or else `fanout`.
            prefix: keeps deployments apart on one server: without a name in the URL, the database is `prefix_fanout`.
            clock: returns microseconds since 1970.
            timeout_s: seconds to wait for the answer to a command.

        Raises:
            Unavailable: no server that takes writes answers.
            ForeignStore: the database belongs to another deployment or program.
            ValueError: the URL has an error.
        """
        client = make_client(url, timeout_s)
        try:
            database = database_of(client, prefix)
            with opening(url):
                await database.command("ping")
            await create_schema(database, prefix)
        except BaseException:
            await client.close()
            raise
        return cls(client, database, clock)

    @classmethod
    async def look(cls, url: str, *, prefix: str = "") -> Inspected:
        """Check as `open` does, but write nothing.

        Raises:
            Unavailable, ForeignStore, ValueError: as `open`.
        """
        client = make_client(url)
        try:
            database = database_of(client, prefix)
            with opening(url):
                hello = await database.command("hello")
            created = await check_schema(database, prefix)
            deployment = await MongoDeployment(database).existing_id()
        finally:
            await client.close()
        return Inspected(database.name, created, deployment, _weak(hello))

    async def create(self, channel: Channel, members: Sequence[str], *, published: bool = False) -> list[Membership]:
        """See the port."""
        document = channel_document(channel, None if published else members)
        with writing("creating a channel"):
            try:
                await self._channels.insert_one(document)
            except DuplicateKeyError as error:
                raise ChannelExists(f"there is a channel {channel.channel_id} already") from error
        with begun("creating a channel"):
            return await self._writer.admit(
                channel.channel_id, members, channel.created_at, readmit=False, published=published
            )

    async def channel(self, channel_id: str) -> Channel | None:
        """See the port."""
        with reading("a channel"):
            document = await self._channels.find_one({"_id": channel_id}, {"pending": 0})
        return None if document is None else channel_of(document)

    async def unfinished(self, limit: int) -> list[str]:
        """See the port."""
        channels = self._channels.with_options(read_concern=_MAJORITY)
        with reading("unfinished channels"):
            found = await channels.find({"unfinished": True}, {"_id": 1}).limit(limit).to_list()
        return [str(document["_id"]) for document in found]

    async def resume_creation(self, channel_id: str) -> list[Membership] | None:
        """See the port."""
        with reading("a channel"):
            document = await self._channels.find_one({"_id": channel_id})
        if document is None or "unfinished" not in document:
            return None
        return await self._writer.admit(channel_id, document["pending"], document["created_at"], readmit=False)

    async def creation_published(self, channel_id: str) -> None:
        """See the port."""
        with writing("finishing a creation"):
            await self._channels.update_one({"_id": channel_id}, {"$unset": {"unfinished": "", "pending": ""}})

    async def add(self, channel_id: str, user_ids: Sequence[str], joined_at: str) -> list[Membership]:
        """See the port."""
        return await self._writer.admit(channel_id, user_ids, joined_at, readmit=True)

    async def remove(self, channel_id: str, user_id: str, left_at: str) -> Membership | None:
        """See the port."""
        return await self._writer.end(channel_id, user_id, left_at)

    async def membership(self, channel_id: str, user_id: str) -> Membership | None:
        """See the port."""
        return await self._writer.find(channel_id, user_id)

    async def is_member(self, channel_id: str, user_id: str) -> bool:
        """See the port."""
        with reading("a membership"):
            found = await self._documents.find_one({"_id": key(channel_id, user_id)}, {"_id": 0, "active": 1})
        return found is not None and bool(found["active"])

    async def packed_channels_of(self, user_id: str) -> bytes:
        """See the port."""
        return await self._packed({"user_id": user_id, "active": True}, "channel_id")

    async def channels_page(self, user_id: str, after: str, limit: int) -> list[Channel]:
        """See the port."""
        query = {"user_id": user_id, "active": True, "channel_id": {"$gt": after}}
        with reading("channels"):
            memberships = self._documents.find(query, {"_id": 0, "channel_id": 1}).sort([("channel_id", 1)])
            ids = [document["channel_id"] for document in await memberships.limit(limit).to_list()]
            found = self._channels.find({"_id": {"$in": ids}}, {"pending": 0}).sort([("_id", 1)])
            return [channel_of(document) for document in await found.to_list()]

    async def members_of(self, channel_id: str) -> list[str]:
        """See the port."""
        return packed_ids.unpack(await self._packed({"channel_id": channel_id, "active": True}, "user_id"))

    async def member_count(self, channel_id: str, limit: int) -> int:
        """See the port."""
        with reading("members"):
            return await self._documents.count_documents({"channel_id": channel_id, "active": True}, limit=limit)

    async def unpublished(self, limit: int) -> list[Membership]:
        """See the port."""
        return await self._memberships(_UNPUBLISHED, [("untold", 1)], limit)

    async def count_unpublished(self) -> int:
        """See the port."""
        with reading("unpublished changes"):
            return await self._documents.count_documents(_UNPUBLISHED)

    async def renew(self, memberships: Sequence[Membership]) -> list[Membership]:
        """See the port."""
        return await self._writer.renew(memberships)

    async def mark_published(self, memberships: Sequence[Membership]) -> None:
        """See the port."""
        now = self._clock()
        for some in in_batches(memberships, BATCH):
            with writing("marking changes as published"):
                await self._documents.bulk_write([_published(each, now) for each in some], ordered=False)

    async def changed_since(self, version: int, *, limit: int, after: Membership | None = None) -> list[Membership]:
        """See the port."""
        query: Document = {"version": {"$gte": version}}
        if after is not None:
            later = {"version": {"$gt": after.version}}
            query = {"$or": [later, {"version": after.version, "_id": {"$gt": key_of(after)}}]}
        return await self._memberships(query, [("version", 1), ("_id", 1)], limit)

    async def prune(self, limit: int) -> int:
        """See the port.

        The highest deleted version is kept in the channel's document, before the first deletion. Followers are deleted
        before the memberships, which a repetition finds them by.
        """
        published_before = self._clock() - ENDED_KEPT_S * 1_000_000
        ended = await self._memberships({"told_at": {"$lte": published_before}}, [("told_at", 1)], limit)
        if ended:
            floors: dict[str, int] = {}
            for each in ended:
                floors[each.channel_id] = max(each.version, floors.get(each.channel_id, 0))
            await self.remove_followers(ended)
            with writing("deleting ended memberships"):
                await self._channels.bulk_write(
                    [UpdateOne({"_id": channel}, {"$max": {"pruned": floor}}) for channel, floor in floors.items()],
                    ordered=False,
                )
                await self._documents.bulk_write([DeleteOne(change_of(each)) for each in ended], ordered=False)
        return len(ended)

    async def ping(self) -> None:
        """See the port."""
        with reading("a ping"):
            await self._database.command("ping")

    async def close(self) -> None:
        """Close the connections to the server."""
        await self._client.close()

    async def _packed(self, query: Document, field: str) -> bytes:
        """One field of the documents that match, sorted; an index covers the query."""
        parts: list[bytes] = []
        with reading("memberships"):
            # The batches of an ordinary cursor are decoded and handed out without a pause.
            cursor = self._documents.find_raw_batches(
                query, {"_id": 0, field: 1}, sort=[(field, 1)], batch_size=READ_AT_ONCE
            )
            async with cursor:
                async for batch in cursor:
                    await self._slice.breathe()  # batches of several lists may come in one turn of the loop
                    values = [document[field] for document in decode_all(cast("bytes", batch))]
                    parts.append(pack_stored(values, field))
        return packed_ids.join(parts)

    async def _memberships(self, query: Document, order: list[tuple[str, int]], limit: int) -> list[Membership]:
        documents = self._documents.with_options(read_concern=_MAJORITY)
        with reading("memberships"):
            return [membership_of(each) for each in await documents.find(query).sort(order).limit(limit).to_list()]


def _published(membership: Membership, now: int) -> UpdateOne:
    update: Document = {"$unset": {"untold": ""}}
    if membership.left_at is not None:
        update["$set"] = {"told_at": now}
    return UpdateOne(change_of(membership), update)


def _weak(hello: Mapping[str, Any]) -> tuple[str, ...]:
    if "setName" in hello or hello.get("msg") == "isdbgrid":
        return ()
    return ("the server is no replica set: what it acknowledged is lost with its disk, and nothing replaces it",)
