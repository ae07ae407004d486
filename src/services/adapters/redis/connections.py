"""The record of connections in Redis or Valkey, contract section 5."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

from redis.asyncio import Redis

from fanout.events import timestamp
from fanout.keys import CONNECTION_TTL_S, Keys
from fanout.ports.presence import ClientState, Connected, DeviceConnection, Renewal, UserPresence
from services.adapters.redis import scripts
from services.adapters.redis.aggregates import number, user_presence
from services.adapters.redis.client import reaching_keys
from services.adapters.redis.keyspace import Encodable, Keyspace, chunks

_Values = list[Encodable]

_STATES: Final[Mapping[str, ClientState]] = {state: state for state in get_args(ClientState)}


class RedisConnections(Keyspace):
    """`fanout.ports.presence.Connections`.

    `connect` publishes that a user came to an instance, and `disconnect` that the user left it, for other programs.
    `disconnect` relies on the caller to say which connection was the last. The field `on:{instance_id}` of a user's
    presence hash holds the Unix time, by the server's clock, from which it no longer counts.
    """

    def __init__(self, client: Redis, keys: Keys, deployment: str = "") -> None:
        super().__init__(client, keys, deployment)
        self._connect = self._script(scripts.CONNECT)
        self._renew = self._script(scripts.RENEW)
        self._disconnect = self._script(scripts.DISCONNECT)
        self._locations = self._script(scripts.LOCATIONS)

    async def connect(self, connection: DeviceConnection) -> Connected:
        """See the port. If the first answer was lost, it may name the connection's own instance."""
        used = self._used(connection)
        async with reaching_keys(self._client, "connect", used):
            order, before, change = await self._connect(keys=list(used), args=_values(connection, timestamp()))
        return Connected(int(order), before and str(before), change and user_presence(change))

    async def renew(self, connections: Sequence[DeviceConnection]) -> Renewal:
        """See the port."""
        changes: list[UserPresence] = []
        replaced: list[DeviceConnection] = []
        for chunk in chunks(connections):
            for connection, (is_replaced, *change) in zip(chunk, await self._renew_some(chunk), strict=True):
                if is_replaced:
                    replaced.append(connection)
                changes += [user_presence(fields) for fields in change if fields]
        return Renewal(changes, replaced)

    async def _renew_some(self, connections: Sequence[DeviceConnection]) -> list[list[Any]]:
        now = timestamp()
        used = {key: kind for connection in connections for key, kind in self._used(connection).items()}
        async with (
            reaching_keys(self._client, "renew", used),
            self._client.pipeline(transaction=False) as pipeline,
        ):
            for connection in connections:
                arguments = [*_values(connection, now), connection.order]
                await self._renew(list(self._used(connection)), arguments, pipeline)
            answers: list[list[Any]] = await pipeline.execute()
            return answers

    async def disconnect(
        self, connection: DeviceConnection, *, last: bool, grace_s: float = 0.0
    ) -> UserPresence | None:
        """See the port."""
        values: _Values = [
            connection.instance_id,
            connection.order,
            connection.device_id,
            int(last),
            timestamp(),
            connection.user_id,
            int(grace_s * 1000),
            connection.connected_at,
        ]
        used = self._used(connection)
        async with reaching_keys(self._client, "disconnect", used):
            change = await self._disconnect(keys=list(used), args=values)
        return change and user_presence(change)

    async def connections_of(self, user_id: str) -> list[DeviceConnection]:
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
        found = zip(devices, hashes, strict=True)
        return [_connection(user_id, device, fields) for device, fields in found if fields and "ended" not in fields]

    async def locations_of(self, user_id: str) -> frozenset[str]:
        """See the port. Instances without a lease are left out."""
        key = self._keys.user_presence(user_id)
        async with reaching_keys(self._client, "locations_of", {key: "hash"}):
            return frozenset(await self._locations(keys=[key]))

    def _used(self, connection: DeviceConnection) -> dict[str, str]:
        """The keys of a connection's scripts, in their order, each with its type."""
        user_id = connection.user_id
        return {
            self._keys.connection(user_id, connection.device_id): "hash",
            self._keys.connections(user_id): "set",
            self._keys.user_presence(user_id): "hash",
            self._keys.presence_users(connection.instance_id, connection.incarnation): "set",
            self._keys.connection_ended(user_id, connection.device_id): "string",
        }


def _values(connection: DeviceConnection, now: str) -> _Values:
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
        connection.incarnation,
    ]


def _connection(user_id: str, device_id: str, fields: Mapping[str, str]) -> DeviceConnection:
    state = fields.get("client_state", "")
    return DeviceConnection(
        user_id=user_id,
        device_id=device_id,
        instance_id=fields.get("instance_id", ""),
        connected_at=fields.get("connected_at", ""),
        client_state=_STATES.get(state, "background"),
        focused_channel=fields.get("focused_channel") or None,
        last_activity=fields.get("last_activity", ""),
        incarnation=fields.get("incarnation", ""),
        order=number(fields.get("order", "")),
    )
