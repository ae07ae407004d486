"""Presence in Redis or Valkey, contract section 5."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeVar

import structlog
from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import ResponseError

from fanout.errors import InvalidId
from fanout.events import timestamp
from fanout.ids import check_id
from fanout.keys import CONNECTION_TTL_S, LEASE_TTL_S, Keys, PresenceChange
from fanout.ports.presence import ChangeHandler, Connection, Lease
from services.adapters.redis import scripts
from services.adapters.redis.client import REMEDY, make_client, opening, reaching, reaching_keys
from services.adapters.redis.deployment import claim, look
from services.adapters.redis.scripts import prepared
from services.adapters.redis.watch import Watch

log = structlog.get_logger(__name__)

_T = TypeVar("_T")
_Encodable = bytes | bytearray | memoryview | str | int | float  # as redis-py has it
_Values = list[_Encodable]

CHUNK: Final = 100
"""Commands per pipeline: a bound on the bytes in flight, and on how long others wait for the loop or behind one."""

MOST_PASSED_OVER: Final = 100
"""Foreign names that are remembered, so that each is logged once."""


class RedisPresence:
    """`fanout.ports.presence.Presence`.

    The calls about one user on one instance are to be made one after the other: `disconnect` takes the caller's word
    for which connection was the last. The field `on:{instance_id}` holds the Unix time, by the server's clock, at
    which it no longer counts.

    Args:
        client: of the server; `close` closes it.
        keys: under which names.
        deployment: whose the store is; empty where it is not to say so.
    """

    def __init__(self, client: Redis, keys: Keys, deployment: str = "") -> None:
        def script(text: str) -> AsyncScript:
            return client.register_script(prepared(text, keys, deployment))

        self._client = client
        self._keys = keys
        self._connect = script(scripts.CONNECT)
        self._renew = script(scripts.RENEW)
        self._disconnect = script(scripts.DISCONNECT)
        self._locations = script(scripts.LOCATIONS)
        self._lease = script(scripts.LEASE)
        self._release = script(scripts.RELEASE)
        self._leases = script(scripts.LEASES)
        self._watches: set[Watch] = set()
        self._passed_over: set[str] = set()

    @classmethod
    async def open(cls, url: str, *, prefix: str = "", deployment: str = "") -> "RedisPresence":
        """Connect to a server, and see to it that the store is this deployment's.

        Args:
            url: `redis://`, `rediss://` or `unix://`.
            prefix: keeps deployments apart on one server: keys and channels begin with it and a colon.
            deployment: the deployment's id. A store that has none, and no key of ours, gets it; so does one that
                loses it while this process runs.

        Raises:
            Unavailable: it does not answer, or not as a Redis that has what the URL names.
            ForeignStore: it is another deployment's, or another program has a key by a name of ours.
            ValueError: the URL is none of these, or the prefix or the id not of its form.
        """
        client = make_client(url)
        try:
            presence = cls(client, Keys(prefix), deployment)
            with opening(url):
                await client.ping()
                await claim(client, presence._keys, deployment)
            for line in await presence.warnings():
                log.warning(line)
        except BaseException:
            await client.aclose()
            raise
        return presence

    @staticmethod
    async def look(url: str, *, prefix: str = "", deployment: str | None) -> list[str]:
        """What `open` would find, without a write: its warnings, a line each.

        Args:
            url: as of `open`.
            prefix: as of `open`.
            deployment: the id; None where there is none yet.

        Raises:
            Unavailable, ForeignStore, ValueError: as `open`.
        """
        client = make_client(url)
        try:
            presence = RedisPresence(client, Keys(prefix), deployment or "")
            with opening(url):
                await client.ping()
                await look(client, presence._keys, deployment)
            return await presence.warnings()
        finally:
            await client.aclose()

    @staticmethod
    async def adopt(url: str, *, prefix: str = "", deployment: str) -> None:
        """Give a store without a deployment's id this one, whatever keys it holds.

        Args:
            url: as of `open`.
            prefix: as of `open`.
            deployment: the id.

        Raises:
            Unavailable: the server does not answer.
            ForeignStore: the store carries another id.
        """
        client = make_client(url)
        try:
            with opening(url):
                await claim(client, Keys(prefix), deployment, adopt=True)
        finally:
            await client.aclose()

    async def warnings(self) -> list[str]:
        """What of the server's configuration can be run with and should not be, a line each.

        Raises:
            Unavailable: the server does not answer.
        """
        try:
            with reaching("reading its configuration"):
                policy = (await self._client.info("memory")).get("maxmemory_policy", "unknown")
        except ResponseError:  # the user may not ask
            policy = "unknown"
        if policy == "noeviction":
            return []
        if policy == "unknown":
            return ["Redis does not tell its maxmemory-policy; make sure that it is noeviction"]
        lost = "leases and connections of those who are there would go"
        return [
            f"Redis evicts keys when it is full (maxmemory-policy {policy}): {lost}; set maxmemory-policy noeviction"
        ]

    async def close(self) -> None:
        """End every watch, and close the connections."""
        for watch in list(self._watches):
            await watch.close()
        await self._client.aclose()

    async def connect(self, connection: Connection) -> str | None:
        """See the port. Where the first answer was lost on the way, it may name the connection's own instance."""
        used = self._used(connection)
        async with reaching_keys(self._client, "connect", used):
            before = await self._connect(keys=list(used), args=_values(connection, timestamp()))
        return None if before is None else str(before)

    async def renew(self, connections: Sequence[Connection]) -> None:
        """See the port. A device that has connected elsewhere since keeps its newer connection."""
        now = timestamp()
        for chunk in _chunks(connections):
            used = {key: kind for connection in chunk for key, kind in self._used(connection).items()}
            async with (
                reaching_keys(self._client, "renew", used),
                self._client.pipeline(transaction=False) as pipeline,
            ):
                for connection in chunk:
                    await self._renew(list(self._used(connection)), _values(connection, now), pipeline)
                await pipeline.execute()

    async def disconnect(self, connection: Connection, *, last: bool) -> None:
        """See the port."""
        values: _Values = [
            connection.instance_id,
            connection.connected_at,
            connection.device_id,
            int(last),
            timestamp(),
        ]
        used = self._used(connection)
        async with reaching_keys(self._client, "disconnect", used):
            await self._disconnect(keys=list(used), args=values)

    async def announce(self, changes: Sequence[PresenceChange]) -> None:
        """See the port."""
        for chunk in _chunks(changes):
            with reaching("announce"):
                async with self._client.pipeline(transaction=False) as pipeline:
                    for change in chunk:
                        pipeline.publish(self._keys.presence_changes, change.encode())
                    await pipeline.execute()

    async def watch(self, handler: ChangeHandler) -> Watch:
        """See the port. Returns when the server has confirmed.

        Raises:
            Unavailable: it does not answer.
        """
        watch = await Watch.open(self._client, self._keys.presence_changes, handler, self._watches.discard)
        self._watches.add(watch)
        return watch

    async def connections_of(self, user_id: str) -> list[Connection]:
        """See the port."""
        key = self._keys.connections(user_id)
        async with reaching_keys(self._client, "connections_of", {key: "set"}):
            devices = sorted(map(str, await self._client.smembers(key)))
        used = {self._keys.connection(user_id, device): "hash" for device in devices}
        async with (
            reaching_keys(self._client, "connections_of", used),
            self._client.pipeline(transaction=False) as pipeline,
        ):
            for key in used:
                pipeline.hgetall(key)
            hashes = await pipeline.execute()
        return [_connection(user_id, device, fields) for device, fields in zip(devices, hashes, strict=True) if fields]

    async def locations_of(self, user_id: str) -> frozenset[str]:
        """See the port. Instances without a lease are left out."""
        key = self._keys.user_presence(user_id)
        async with reaching_keys(self._client, "locations_of", {key: "hash"}):
            return frozenset(await self._locations(keys=[key]))

    async def lease(self, lease: Lease) -> None:
        """See the port."""
        used = self._used_by(lease.instance_id)
        fields = [word for field in _lease_fields(lease).items() for word in field]
        async with reaching_keys(self._client, "lease", used):
            await self._lease(keys=list(used), args=[LEASE_TTL_S, lease.instance_id, *fields])

    async def release(self, instance_id: str) -> None:
        """See the port."""
        used = self._used_by(instance_id)
        async with reaching_keys(self._client, "release", used):
            await self._release(keys=list(used), args=[instance_id])

    async def leases(self) -> Mapping[str, Lease]:
        """See the port. What stands under a lease's name and is none is passed over, and logged once."""
        async with reaching_keys(self._client, "leases", {self._keys.instances: "set"}):
            rows = await self._leases(keys=[self._keys.instances])
        leases = (_lease(instance, _pairs(flat)) for instance, flat in rows)
        return {lease.instance_id: lease for lease in leases if self._is_ours(lease)}

    def _is_ours(self, lease: Lease) -> bool:
        try:
            check_id(lease.instance_id, "instance_id")
            check_id(lease.incarnation, "incarnation")
        except InvalidId as error:
            if lease.instance_id not in self._passed_over and len(self._passed_over) < MOST_PASSED_OVER:
                self._passed_over.add(lease.instance_id)
                log.warning("a lease in Redis is another program's", reason=str(error), remedy=REMEDY)
            return False
        return True

    def _used(self, connection: Connection) -> dict[str, str]:
        """The keys of a connection's scripts, in their order, each with its type."""
        user_id = connection.user_id
        return {
            self._keys.connection(user_id, connection.device_id): "hash",
            self._keys.connections(user_id): "set",
            self._keys.user_presence(user_id): "hash",
        }

    def _used_by(self, instance_id: str) -> dict[str, str]:
        """The keys of a lease's scripts, in their order, each with its type."""
        return {self._keys.lease(instance_id): "hash", self._keys.instances: "set"}

    async def ping(self) -> None:
        """See the port."""
        with reaching("ping"):
            await self._client.ping()


def _values(connection: Connection, now: str) -> _Values:
    return [
        CONNECTION_TTL_S,
        now,
        connection.user_id,
        connection.device_id,
        connection.instance_id,
        connection.connected_at,
        connection.client_state,
        connection.focused_channel or "",
        connection.last_activity,
    ]


def _connection(user_id: str, device_id: str, fields: Mapping[str, str]) -> Connection:
    return Connection(
        user_id=user_id,
        device_id=device_id,
        instance_id=fields.get("instance_id", ""),
        connected_at=fields.get("connected_at", ""),
        client_state=fields.get("client_state", "active"),
        focused_channel=fields.get("focused_channel") or None,
        last_activity=fields.get("last_activity", ""),
    )


def _lease_fields(lease: Lease) -> dict[_Encodable, _Encodable]:
    return {
        "started_at": lease.started_at,
        "address": lease.address,
        "incarnation": lease.incarnation,
        "connections": lease.connections,
        "capacity": lease.capacity,
    }


def _lease(instance_id: str, fields: Mapping[str, str]) -> Lease:
    return Lease(
        instance_id=instance_id,
        incarnation=fields.get("incarnation", ""),
        address=fields.get("address", ""),
        started_at=fields.get("started_at", ""),
        connections=_number(fields.get("connections", "")),
        capacity=_number(fields.get("capacity", "")),
    )


def _number(text: str) -> int:
    """0 for what is none: whatever stands in a hash, the other leases are to be had."""
    try:
        return int(text)
    except ValueError:
        return 0


def _pairs(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _chunks(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))
