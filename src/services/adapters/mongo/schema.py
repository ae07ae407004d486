"""The collections of the membership store, their indexes, and the document that says whose they are."""

from contextlib import suppress
from typing import Any, Final

from pymongo import IndexModel
from pymongo.errors import DuplicateKeyError, OperationFailure

from fanout.errors import ForeignStore
from services.adapters.mongo.client import Database, Document, reading, writing

CHANNELS: Final = "channels"
MEMBERSHIPS: Final = "memberships"
FOLLOWERS: Final = "thread_followers"
DEVICES: Final = "devices"
DEPLOYMENT: Final = "deployment"
IMPORTS: Final = "imports"

VERSION: Final = 1
_STORE: Final = "store"
_ANOTHER_INDEX: Final = frozenset({67, 85, 86})
"""The codes of a server that has an index of the same name or the same keys, with other options."""

INDEXES: Final[dict[str, tuple[IndexModel, ...]]] = {
    CHANNELS: (IndexModel([("unfinished", 1)], name="unfinished", sparse=True),),
    MEMBERSHIPS: (
        # The first two cover the queries for a user's channels and a channel's members: no document is read for them.
        IndexModel([("user_id", 1), ("active", 1), ("channel_id", 1)], name="by_user"),
        IndexModel([("channel_id", 1), ("active", 1), ("user_id", 1)], name="by_channel"),
        IndexModel([("version", 1), ("_id", 1)], name="by_version"),
        # These two hold the few documents alone that have the field.
        IndexModel([("untold", 1)], name="untold", sparse=True),
        IndexModel([("told_at", 1)], name="ended", sparse=True),
    ),
    FOLLOWERS: (
        IndexModel([("thread_id", 1), ("user_id", 1)], name="by_thread"),
        IndexModel([("channel_id", 1), ("user_id", 1)], name="by_member"),
    ),
    DEVICES: (
        IndexModel([("user_id", 1), ("platform", 1)], name="by_user"),
        IndexModel([("push_token", 1)], name="by_push_token", sparse=True),
    ),
}

_REMEDY: Final = "name another database in FANOUT_MONGO_URL"


async def create_schema(database: Database, prefix: str) -> None:
    """Claim a database for the deployment of one prefix, and create the indexes that are missing.

    Any number of processes may do so at the same time.

    Raises:
        ForeignStore: it belongs to another program, to another version of this one, or to another prefix.
        Unavailable: the server does not answer.
    """
    if await _store(database) is None:
        await _check_empty(database)
        with writing("claiming the database"), suppress(DuplicateKeyError):  # another process may be faster
            await database[DEPLOYMENT].insert_one({"_id": _STORE, "schema": VERSION, "prefix": prefix})
    await check_schema(database, prefix)
    await _create_indexes(database)


async def check_schema(database: Database, prefix: str) -> bool:
    """Check what `create_schema` checks, without a write.

    Returns:
        whether the database is claimed already.

    Raises:
        ForeignStore, Unavailable: as `create_schema`.
    """
    store = await _store(database)
    if store is None:
        await _check_empty(database)
        return False
    if store.get("schema") != VERSION:
        raise ForeignStore(
            f"the database {database.name} has version {store.get('schema')} of the tables, and this program uses "
            f"{VERSION}: run the version of Fanout that wrote it, or {_REMEDY}"
        )
    if store.get("prefix") != prefix:
        was, now = (f"FANOUT_PREFIX={one}" if one else "no FANOUT_PREFIX" for one in (store.get("prefix"), prefix))
        raise ForeignStore(
            f"the database {database.name} belongs to the deployment with {was}, and this process has {now}: {_REMEDY}"
        )
    return True


async def _store(database: Database) -> Document | None:
    with reading("the database's owner"):
        return await database[DEPLOYMENT].find_one({"_id": _STORE})


async def _check_empty(database: Database) -> None:
    for name in (CHANNELS, MEMBERSHIPS, FOLLOWERS, DEVICES):
        with reading("the database's collections"):
            found = await database[name].find_one({}, {"_id": 1})
        # The document may be of another process that has just claimed the database.
        if found is not None and await _store(database) is None:
            raise ForeignStore(
                f"the database {database.name} has documents in {name} that Fanout did not write: {_REMEDY}"
            )


async def _create_indexes(database: Database) -> None:
    for name, indexes in INDEXES.items():
        with reading("indexes"):
            existing = await database[name].index_information()
        for index in indexes:
            if index.document["name"] not in existing:
                await _create_index(database, name, index)


async def _create_index(database: Database, name: str, index: IndexModel) -> None:
    with writing("creating an index"):
        try:
            await database[name].create_indexes([index])
        except OperationFailure as error:
            raise _foreign_index(database, name, error) from error


def _foreign_index(database: Database, name: str, error: OperationFailure) -> Exception:
    if error.code not in _ANOTHER_INDEX:
        return error
    said: Any = (error.details or {}).get("errmsg", error)
    return ForeignStore(f"an index of {name} in the database {database.name} is not Fanout's: {said}; {_REMEDY}")
