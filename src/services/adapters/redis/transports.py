"""redis-py's connections, which say by an `OSError` that they are lost, so that redis-py connects again."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection

from services.runtime.lost_connections import live


class _Lossy(AbstractConnection):
    async def _send_packed_command(self, command: Iterable[bytes]) -> None:
        live(self._writer)
        await super()._send_packed_command(command)


class _LossyConnection(_Lossy, Connection):
    pass


class _LossySSLConnection(_Lossy, SSLConnection):
    pass


class _LossyUnixConnection(_Lossy, UnixDomainSocketConnection):
    pass


LOSSY: Final[Mapping[type[AbstractConnection], type[AbstractConnection]]] = MappingProxyType(
    {
        Connection: _LossyConnection,
        SSLConnection: _LossySSLConnection,
        UnixDomainSocketConnection: _LossyUnixConnection,
    }
)
"""By redis-py's class of connections, the one to use in its place."""
