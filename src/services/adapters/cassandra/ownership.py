"""The deployment's id in the keyspace: checked at the start, and written to a keyspace that is empty."""

from typing import Any, Final

from fanout.errors import ForeignStore
from services.adapters.cassandra.connection import CassandraConnection
from services.adapters.cassandra.statements import Statements

DEPLOYMENT: Final = "deployment"
_REMEDY: Final = "set FANOUT_PREFIX, or other FANOUT_CASSANDRA_HOSTS"
_INSERT: Final = "INSERT INTO {keyspace}.store_values (name, value) VALUES (%s, %s) IF NOT EXISTS"


async def kept_value(
    connection: CassandraConnection, statements: Statements, keyspace: str, name: str, made: str
) -> str:
    """The value that a keyspace keeps under a name. The first one that is offered is kept.

    Args:
        connection: to the cluster.
        statements: of the keyspace.
        keyspace: its name.
        name: of the value.
        made: what to keep where nothing is.

    Raises:
        Unavailable: the cluster cannot do it now.
    """
    rows = await connection.execute(f"reading the {name}", statements.value, name)
    if not rows:
        await connection.execute(f"keeping the {name}", _INSERT.format(keyspace=keyspace), name, made)
        rows = await connection.execute(f"reading the {name}", statements.value, name)
    return str(rows[0][0])


async def claim(
    connection: CassandraConnection, statements: Statements, keyspace: str, deployment: str, *, adopt: bool = False
) -> None:
    """Write the deployment's id to a keyspace that has none, and check it in one that has.

    Args:
        connection: to the cluster.
        statements: of the keyspace.
        keyspace: its name.
        deployment: the id.
        adopt: also write the id to a keyspace that has messages.

    Raises:
        ForeignStore: the keyspace carries another id; or it carries none and has messages.
        Unavailable: the cluster cannot do it now.
    """
    if not adopt:
        await check(connection, statements, keyspace, deployment)
    there = await kept_value(connection, statements, keyspace, DEPLOYMENT, deployment)
    if there != deployment:
        raise _foreign(keyspace, there, deployment)


async def check(connection: CassandraConnection, statements: Statements, keyspace: str, deployment: str | None) -> None:
    """Check what `claim` checks, without a write.

    Raises:
        ForeignStore, Unavailable: as `claim`.
    """
    rows = await connection.execute("reading the deployment", statements.value, DEPLOYMENT)
    if rows and rows[0][0] != deployment:
        raise _foreign(keyspace, rows[0][0], deployment or "of none yet")
    if not rows and await _has_content(connection, statements):
        raise ForeignStore(
            f"the keyspace {keyspace} has messages and carries no deployment's id; "
            "`fanout migrate --adopt` takes it over"
        )


async def _has_content(connection: CassandraConnection, statements: Statements) -> bool:
    return any([await connection.execute("looking for messages", each) for each in _content(statements)])


def _content(statements: Statements) -> tuple[Any, ...]:
    return statements.some_bucket, statements.some_place


def _foreign(keyspace: str, there: str, here: str) -> ForeignStore:
    return ForeignStore(f"the keyspace {keyspace} is of deployment {there}, and this is {here}; {_REMEDY}")
