"""The connection to a Cassandra cluster: every wait is bounded, and no call blocks the event loop."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster
from cassandra.io.libevreactor import LibevConnection
from cassandra.policies import HostDistance

from fanout.errors import Unavailable
from services.adapters.cassandra.bridge import MAX_IN_FLIGHT, Bridge, Request, Rows
from services.adapters.cassandra.errors import CAN_SUCCEED_LATER, reaching
from services.adapters.cassandra.hosts import Hosts
from services.adapters.cassandra.policies import profile, reconnection

TIMEOUT_S: Final = 5.0
"""Seconds to connect, and to wait for the answer to a request."""
HEARTBEAT_S: Final = 5
"""Seconds of silence after which a connection is tested, and for the answer to that."""
_PROTOCOL: Final = 5
"""Cassandra has it from 4.0 on. A result then says whether its columns are those of the prepared statement."""

_T = TypeVar("_T")


class CassandraConnection:
    """A session, and the bridge to it."""

    def __init__(self, cluster: Any, session: Any, bridge: Bridge) -> None:
        self._cluster = cluster
        self._session = session
        self._bridge = bridge

    @property
    def in_flight(self) -> int:
        """Requests that were sent and not answered."""
        return self._bridge.in_flight

    async def prepare(self, statements: list[str]) -> list[Any]:
        """Prepare statements, which must all be idempotent.

        Raises:
            Unavailable: no node answers.
        """
        with reaching("preparing statements"):
            return await self._in_thread(lambda: [self._prepared(statement) for statement in statements])

    async def execute(self, what: str, statement: Any, *parameters: Any) -> Rows:
        """Execute one statement.

        Args:
            what: the action, for an error's text.
            statement: prepared, or CQL.
            parameters: of the statement.

        Raises:
            Unavailable: the cluster cannot do it now. A write may have been done.
        """
        with reaching(what):
            return await self._bridge.execute(statement, *parameters)

    async def execute_all(self, what: str, requests: list[Request]) -> list[Rows]:
        """Execute statements in parallel; see `Bridge.execute_all`.

        Raises:
            Unavailable: the cluster cannot do one of them now. The others, and that one if it is a write, may have been
                done.
        """
        with reaching(what):
            return await self._bridge.execute_all(requests)

    async def change_schema(self, statement: str) -> None:
        """Execute a statement that changes the schema, and wait until the nodes agree on it.

        Raises:
            Unavailable: the cluster cannot do it now.
        """
        with reaching("changing the schema"):
            await self._in_thread(lambda: self._session.execute(statement))

    async def close(self) -> None:
        """Close every connection. Requests that are not answered yet are lost."""
        await self._in_thread(self._cluster.shutdown)

    def nodes(self) -> int:
        """The number of nodes in the data centre of the hosts that were named."""
        policy = self._cluster.profile_manager.default.load_balancing_policy
        return sum(policy.distance(host) == HostDistance.LOCAL for host in self._cluster.metadata.all_hosts())

    def _prepared(self, statement: str) -> Any:
        prepared = self._session.prepare(statement)
        prepared.is_idempotent = True
        return prepared

    @staticmethod
    async def _in_thread(work: Callable[[], _T]) -> _T:
        return await asyncio.shield(asyncio.to_thread(work))


async def connect(
    hosts: Hosts, *, timeout_s: float = TIMEOUT_S, max_in_flight: int = MAX_IN_FLIGHT
) -> CassandraConnection:
    """Connect to a cluster. While it is away later, the driver tries without end to connect again.

    Args:
        hosts: the nodes that are asked first, and the credentials.
        timeout_s: seconds for each wait.
        max_in_flight: requests at a time.

    Raises:
        Unavailable: no node lets us in.
    """
    cluster = new_cluster(hosts, timeout_s)
    try:
        session = await asyncio.to_thread(cluster.connect)
    except CAN_SUCCEED_LATER as error:
        await asyncio.to_thread(cluster.shutdown)
        raise Unavailable(f"no Cassandra node lets us in at {hosts}: {error}") from error
    except BaseException:
        await asyncio.to_thread(cluster.shutdown)
        raise
    session.default_fetch_size = None  # a further page would be fetched on the thread that reads it
    return CassandraConnection(cluster, session, Bridge(session, patience_s=timeout_s, max_in_flight=max_in_flight))


def new_cluster(hosts: Hosts, timeout_s: float = TIMEOUT_S) -> Cluster:
    """Make the driver's object for a cluster, with every setting that is not left to its defaults.

    Args:
        hosts: the nodes that are asked first, and the credentials.
        timeout_s: seconds for each wait.
    """
    return Cluster(
        contact_points=list(hosts.contact_points),
        auth_provider=None if hosts.user is None else PlainTextAuthProvider(hosts.user, hosts.password),
        protocol_version=_PROTOCOL,
        connection_class=LibevConnection,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile(timeout_s)},
        reconnection_policy=reconnection(),
        connect_timeout=timeout_s,
        control_connection_timeout=timeout_s,
        idle_heartbeat_interval=HEARTBEAT_S,
        idle_heartbeat_timeout=HEARTBEAT_S,
        compression=False,
        monitor_reporting_enabled=False,
    )
