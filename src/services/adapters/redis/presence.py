"""Presence in Redis or Valkey, contract section 5."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeVar

from redis.asyncio import Redis

from fanout import keys
from fanout.events import timestamp
from fanout.keys import PresenceChange
from fanout.ports.presence import ChangeHandler, Connection, Lease
from services.adapters.redis import scripts
from services.adapters.redis.client import make_client, opening, reaching
from services.adapters.redis.watch import Watch

_T = TypeVar("_T")
_Encodable = bytes | bytearray | memoryview | str | int | float  # as redis-py has it
_Values = list[_Encodable]

CHUNK: Final = 500
"""Commands per pipeline: a bound on the bytes in flight, and on how long others wait behind one."""


class RedisPresence:
    """`fanout.ports.presence.Presence`.

    The calls about one user on one instance are to be made one after the other: `disconnect` takes the caller's word
    for which connection was the last. The field `on:{instance_id}` holds the Unix time, by the server's clock, at
    which it no longer counts.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._connect = client.register_script(scripts.CONNECT)
        self._renew = client.register_script(scripts.RENEW)
        self._disconnect = client.register_script(scripts.DISCONNECT)
        self._locations = client.register_script(scripts.LOCATIONS)
        self._leases = client.register_script(scripts.LEASES)
        self._watches: set[Watch] = set()

    @classmethod
    async def open(cls, url: str) -> "RedisPresence":
        """Connect to a server.

        Args:
            url: `redis://`, `rediss://` or `unix://`.

        Raises:
            Unavailable: it does not answer, or not as a Redis that has what the URL names.
            ValueError: the URL is none of these.
        """
        presence = cls(make_client(url))
        try:
            with opening(url):
                await presence._client.ping()
        except BaseException:
            await presence.close()
            raise
        return presence

    async def close(self) -> None:
        """End every watch, and close the connections."""
        for watch in list(self._watches):
            await watch.close()
        await self._client.aclose()

    async def connect(self, connection: Connection) -> str | None:
        """See the port. Where the first answer was lost on the way, it may name the connection's own instance."""
        with reaching("connect"):
            before = await self._connect(keys=_keys(connection), args=_values(connection, timestamp()))
        return None if before is None else str(before)

    async def renew(self, connections: Sequence[Connection]) -> None:
        """See the port. A device that has connected elsewhere since keeps its newer connection."""
        now = timestamp()
        for chunk in _chunks(connections):
            with reaching("renew"):
                async with self._client.pipeline(transaction=False) as pipeline:
                    for connection in chunk:
                        await self._renew(_keys(connection), _values(connection, now), pipeline)
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
        with reaching("disconnect"):
            await self._disconnect(keys=_keys(connection), args=values)

    async def announce(self, changes: Sequence[PresenceChange]) -> None:
        """See the port."""
        for chunk in _chunks(changes):
            with reaching("announce"):
                async with self._client.pipeline(transaction=False) as pipeline:
                    for change in chunk:
                        pipeline.publish(keys.PRESENCE_CHANGES, change.encode())
                    await pipeline.execute()

    async def watch(self, handler: ChangeHandler) -> Watch:
        """See the port. Returns when the server has confirmed.

        Raises:
            Unavailable: it does not answer.
        """
        watch = await Watch.open(self._client, handler, self._watches.discard)
        self._watches.add(watch)
        return watch

    async def connections_of(self, user_id: str) -> list[Connection]:
        """See the port."""
        with reaching("connections_of"):
            devices = sorted(map(str, await self._client.smembers(keys.connections(user_id))))
            async with self._client.pipeline(transaction=False) as pipeline:
                for device in devices:
                    pipeline.hgetall(keys.connection(user_id, device))
                hashes = await pipeline.execute()
        return [_connection(user_id, device, fields) for device, fields in zip(devices, hashes, strict=True) if fields]

    async def locations_of(self, user_id: str) -> frozenset[str]:
        """See the port. Instances without a lease are left out."""
        with reaching("locations_of"):
            return frozenset(await self._locations(keys=[keys.user_presence(user_id)]))

    async def lease(self, lease: Lease) -> None:
        """See the port."""
        key = keys.lease(lease.instance_id)
        with reaching("lease"):
            async with self._client.pipeline(transaction=True) as pipeline:
                pipeline.hset(key, mapping=_lease_fields(lease))
                pipeline.expire(key, keys.LEASE_TTL_S)
                pipeline.sadd(keys.INSTANCES, lease.instance_id)
                await pipeline.execute()

    async def release(self, instance_id: str) -> None:
        """See the port."""
        with reaching("release"):
            async with self._client.pipeline(transaction=True) as pipeline:
                pipeline.delete(keys.lease(instance_id))
                pipeline.srem(keys.INSTANCES, instance_id)
                await pipeline.execute()

    async def leases(self) -> Mapping[str, Lease]:
        """See the port."""
        with reaching("leases"):
            rows = await self._leases(keys=[keys.INSTANCES])
        return {instance: _lease(instance, _pairs(flat)) for instance, flat in rows}

    async def ping(self) -> None:
        """See the port."""
        with reaching("ping"):
            await self._client.ping()


def _keys(connection: Connection) -> list[str]:
    user_id = connection.user_id
    return [
        keys.connection(user_id, connection.device_id),
        keys.connections(user_id),
        keys.user_presence(user_id),
    ]


def _values(connection: Connection, now: str) -> _Values:
    return [
        keys.CONNECTION_TTL_S,
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
        connections=int(fields.get("connections", 0)),
        capacity=int(fields.get("capacity", 0)),
    )


def _pairs(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _chunks(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))
