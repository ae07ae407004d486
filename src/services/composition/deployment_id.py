"""The deployment's id: the membership store keeps it, every other store and stream carries it. Contract section 4."""

from typing import Protocol

from fanout.ports.deployment import Deployment
from fanout.ports.imports import Imports
from fanout.ports.log import Log
from fanout.ports.memberships import Memberships
from services.composition.backends import Backends


class MembershipStore(Memberships, Protocol):
    """A membership store with the deployment that it keeps, and with its bulk writes."""

    @property
    def deployment(self) -> Deployment:
        """The deployment: its id, and its records of the log."""
        ...

    @property
    def imports(self) -> Imports:
        """Bulk writes to the store."""
        ...


async def deployment_of(backends: Backends) -> Deployment:
    """The deployment that this process belongs to."""
    return (await backends.open(MembershipStore)).deployment


async def deployment_id(backends: Backends) -> str:
    """The id that stores carry. If there is none, it is made.

    The log is opened first: it refuses a membership store that is not the one of its streams, before other stores get
    the wrong id.
    """
    await backends.open(Log)
    return await (await deployment_of(backends)).make_id()


async def existing_id(backends: Backends) -> str | None:
    """The deployment's id, or None where none was made yet; nothing is created.

    Raises:
        ForeignStore: the membership store belongs to the deployment of another prefix.
    """
    read = backends.chosen(MembershipStore).existing_id
    return await read(backends) if read else None
