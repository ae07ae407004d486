"""Memberships in MongoDB."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.adapters.mongo.memberships import Inspected, MongoMemberships
from services.composition.backends import Backends, Found, naming
from services.runtime.settings import ConfigurationError


async def open_mongo_memberships(backends: Backends) -> MongoMemberships:
    """Connect to MongoDB, and create collections and indexes that are missing.

    Raises:
        ForeignStore: the database belongs to another deployment or program.
    """
    url, prefix = str(backends.settings.mongo_url), backends.settings.prefix
    with _naming_mongo():
        return backends.close_at_end(await MongoMemberships.open(url, prefix=prefix))


async def look_at_mongo_memberships(backends: Backends) -> Found:
    """Check that MongoDB answers and the database is this deployment's, and how the server is configured."""
    found = await _look(backends)
    good = f"MongoDB, database {found.database}"
    later = "" if found.created else "; its indexes are created at the first start, or by `fanout migrate`"
    return Found(good + later, found.weak)


async def existing_mongo_id(backends: Backends) -> str | None:
    """The deployment's id in MongoDB, or None; nothing is created.

    Raises:
        ForeignStore: the database belongs to another deployment or program.
    """
    return (await _look(backends)).deployment


async def _look(backends: Backends) -> Inspected:
    with _naming_mongo():
        return await MongoMemberships.look(str(backends.settings.mongo_url), prefix=backends.settings.prefix)


@contextmanager
def _naming_mongo() -> Iterator[None]:
    try:
        with naming("MONGO_URL"):
            yield
    except ValueError as error:
        raise ConfigurationError([f"FANOUT_MONGO_URL: {error}"]) from None
