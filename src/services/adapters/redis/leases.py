"""The leases of instances in Redis or Valkey, contract section 5."""

from collections.abc import Mapping, Sequence
from typing import Final

import structlog
from redis.asyncio import Redis

from fanout.errors import InvalidId
from fanout.ids import check_id
from fanout.keys import LEASE_TTL_S, Keys
from fanout.ports.presence import Lease
from services.adapters.redis import scripts
from services.adapters.redis.aggregates import number
from services.adapters.redis.client import REMEDY, reaching_keys
from services.adapters.redis.keyspace import Encodable, Keyspace

log = structlog.get_logger(__name__)

MOST_PASSED_OVER: Final = 100
"""How many foreign names are remembered, so that each is logged once."""


class RedisLeases(Keyspace):
    """`fanout.ports.presence.Leases`."""

    def __init__(self, client: Redis, keys: Keys, deployment: str = "") -> None:
        super().__init__(client, keys, deployment)
        self._lease = self._script(scripts.LEASE)
        self._release = self._script(scripts.RELEASE)
        self._leases = self._script(scripts.LEASES)
        self._passed_over: set[str] = set()

    async def lease(self, lease: Lease) -> bool:
        """See the port."""
        used = self._used_by(lease.instance_id)
        fields = [word for field in _lease_fields(lease).items() for word in field]
        async with reaching_keys(self._client, "lease", used):
            arguments = [LEASE_TTL_S, lease.instance_id, lease.incarnation, *fields]
            return bool(await self._lease(keys=list(used), args=arguments))

    async def release(self, instance_id: str, *, lingers_s: float = 0.0) -> None:
        """See the port."""
        used = self._used_by(instance_id)
        async with reaching_keys(self._client, "release", used):
            await self._release(keys=list(used), args=[instance_id, int(lingers_s * 1000)])

    async def leases(self) -> Mapping[str, Lease]:
        """See the port. A key of another program under the name of a lease is left out, and logged once."""
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

    def _used_by(self, instance_id: str) -> dict[str, str]:
        """The keys of a lease's scripts, in their order, each with its type."""
        return {self._keys.lease(instance_id): "hash", self._keys.instances: "set"}


def _lease_fields(lease: Lease) -> dict[Encodable, Encodable]:
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
        connections=number(fields.get("connections", "")),
        capacity=number(fields.get("capacity", "")),
    )


def _pairs(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
