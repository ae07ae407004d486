"""Messages in Cassandra."""

from services.adapters.cassandra.hosts import Hosts
from services.adapters.cassandra.messages import CassandraMessages
from services.composition.backends import Backends, Found, naming
from services.composition.deployment_id import deployment_id, existing_id


async def open_cassandra_messages(backends: Backends) -> CassandraMessages:
    """Connect to Cassandra, create what is missing, and let the keyspace carry the deployment's id.

    Raises:
        ForeignStore: the keyspace belongs to another deployment.
    """
    deployment = await deployment_id(backends)
    with naming("CASSANDRA_HOSTS"):
        opened = await CassandraMessages.open(_hosts(backends), prefix=backends.settings.prefix)
        await backends.close_at_end(opened).claim_for(deployment, adopt=backends.adopt)
    return opened


async def look_at_cassandra_messages(backends: Backends) -> Found:
    """Check that Cassandra answers, that the keyspace is this deployment's, and how it is replicated."""
    deployment = await existing_id(backends)
    with naming("CASSANDRA_HOSTS"):
        good, weak = await CassandraMessages.look(
            _hosts(backends), prefix=backends.settings.prefix, deployment=deployment
        )
    return Found(good, tuple(weak))


def _hosts(backends: Backends) -> Hosts:
    return Hosts.parse(backends.settings.cassandra_hosts)
