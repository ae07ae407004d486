"""The table of backends: the adapters of each port. A new store is its adapters and a row here.

`fanout check`, `fanout migrate`, the log line at the start and every service read it.
"""

from typing import Final, Protocol

from fanout.ports.authenticator import Authenticator
from fanout.ports.bus import Bus
from fanout.ports.changes import Changes
from fanout.ports.client_state import ClientState
from fanout.ports.devices import Devices
from fanout.ports.drafts import Drafts
from fanout.ports.followers import Followers
from fanout.ports.log import Log
from fanout.ports.memberships import Memberships
from fanout.ports.messages import Messages
from fanout.ports.presence import Aggregates, Connections, Leases
from fanout.ports.receipts import Receipts
from fanout.ports.unread import UnreadCounts
from services.adapters.sqlite import memberships, messages, unread, user_state
from services.composition import cassandra, data_files, in_process, mongo, nats, redis, tokens
from services.composition.backends import Adapter, Backend, Table
from services.composition.deployment_id import MembershipStore
from services.runtime.tokens import TokenVerifier

_EMBEDDED: Final = "embedded, for one machine"

_LOG: Final = Backend[Log](
    name="log",
    ports=(Log,),
    embedded=Adapter(
        description=f"SQLite, {_EMBEDDED}",
        open=data_files.open_embedded_log,
        look=data_files.look_at_embedded_log,
        checks={"durability": data_files.embedded_durability},
    ),
    remote=Adapter(
        description="NATS JetStream",
        open=nats.open_nats_log,
        look=nats.look_at_nats_log,
        checks={"durability": nats.nats_durability},
    ),
    setting="nats_url",
    server="a nats-server with JetStream",
    rests_on=(MembershipStore,),
)


class _MembershipStore(MembershipStore, Followers, Devices, Protocol):
    """The membership store, as one backend serves its ports."""


_MEMBERSHIPS: Final = Backend[_MembershipStore](
    name="memberships",
    ports=(Memberships, MembershipStore, Followers, Devices),
    embedded=Adapter(
        description=f"SQLite, {_EMBEDDED}",
        open=data_files.open_memberships,
        look=data_files.looks_at_sqlite(data_files.MEMBERSHIPS_FILE, memberships.SCHEMA),
        existing_id=data_files.existing_sqlite_id,
    ),
    remote=Adapter(
        description="MongoDB",
        open=mongo.open_mongo_memberships,
        look=mongo.look_at_mongo_memberships,
        existing_id=mongo.existing_mongo_id,
    ),
    setting="mongo_url",
)


class _MessageStore(Messages, Receipts, Protocol):
    """The message store, as one backend serves its ports."""


_MESSAGES: Final = Backend[_MessageStore](
    name="messages",
    ports=(Messages, Receipts),
    embedded=Adapter(
        description=f"SQLite, {_EMBEDDED}",
        open=data_files.opens_sqlite(data_files.MESSAGES_FILE, messages.SqliteMessages),
        look=data_files.looks_at_sqlite(data_files.MESSAGES_FILE, messages.SCHEMA),
    ),
    remote=Adapter(
        description="Cassandra",
        open=cassandra.open_cassandra_messages,
        look=cassandra.look_at_cassandra_messages,
    ),
    setting="cassandra_hosts",
    rests_on=(Log, MembershipStore),
)

_BUS: Final = Backend[Bus](
    name="bus",
    ports=(Bus,),
    embedded=Adapter(description=_EMBEDDED, open=in_process.open_embedded_bus, look=in_process.look_at_embedded_bus),
    remote=Adapter(description="NATS", open=nats.open_nats_bus, look=nats.look_at_nats_bus),
    setting="nats_url",
    server="a nats-server with JetStream",
    migrated=False,
)


class _Presence(Connections, Leases, Aggregates, Protocol):
    """Presence, as one backend serves its ports."""


_PRESENCE: Final = Backend[_Presence](
    name="presence",
    ports=(Connections, Leases, Aggregates),
    embedded=Adapter(
        description=_EMBEDDED,
        open=in_process.open_embedded_presence,
        look=in_process.look_at_embedded_presence,
    ),
    remote=Adapter(description="Redis", open=redis.open_redis_presence, look=redis.look_at_redis),
    setting="redis_url",
    server="a redis-server",
    rests_on=(Log, MembershipStore),
)


class _UserState(UnreadCounts, Drafts, Changes, ClientState, Protocol):
    """The state of users, as one backend serves its ports."""


_UNREAD: Final = Backend[_UserState](
    name="unread",
    ports=(UnreadCounts, Drafts, Changes, ClientState),
    embedded=Adapter(
        description=f"SQLite, {_EMBEDDED}",
        open=data_files.opens_sqlite(data_files.UNREAD_FILE, user_state.SqliteUserState),
        look=data_files.looks_at_sqlite(data_files.UNREAD_FILE, unread.SCHEMA),
    ),
    remote=Adapter(description="Redis", open=redis.open_redis_user_state, look=redis.look_at_redis),
    setting="redis_url",
    rests_on=(Log, MembershipStore),
)

_TOKENS: Final = Backend[TokenVerifier](
    name="tokens",
    ports=(Authenticator,),
    embedded=Adapter(
        description="signed with a shared secret", open=tokens.open_secret, look=tokens.look_at_secret, ping=None
    ),
    remote=Adapter(
        description="signed with the keys of an issuer",
        open=tokens.open_issuer,
        look=tokens.look_at_issuer,
        ping=TokenVerifier.check,
        ping_name="keys",
    ),
    setting="jwks_url",
)

BACKENDS: Final[Table] = (_LOG, _MEMBERSHIPS, _MESSAGES, _BUS, _PRESENCE, _UNREAD, _TOKENS)
"""In the order of the lines of `fanout check` and `fanout migrate`."""
