"""The adapters that the settings name. A store not named runs embedded; a named one that is away is an error."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Final, Protocol, TypeVar

from fanout.errors import FanoutError, Unavailable
from fanout.ports.authenticator import Authenticator
from fanout.ports.bus import Bus
from fanout.ports.deployment import Deployment
from fanout.ports.log import Log
from fanout.ports.memberships import Memberships
from fanout.ports.messages import Messages
from fanout.ports.presence import Presence
from fanout.subjects import WORKERS
from services.adapters.embedded.bus import EmbeddedBus
from services.adapters.embedded.log import EmbeddedLog, InUse
from services.adapters.embedded.presence import EmbeddedPresence
from services.adapters.nats.bus import NatsBus
from services.adapters.nats.connection import Connection, connect
from services.adapters.nats.inspection import StreamsFound, look_at_streams
from services.adapters.nats.log import NatsLog
from services.adapters.nats.names import Names
from services.adapters.redis.presence import RedisPresence
from services.adapters.sqlite.database import look_into
from services.adapters.sqlite.deployment import check_prefix, id_in, prefix_in
from services.adapters.sqlite.memberships import SqliteMemberships
from services.adapters.sqlite.messages import SqliteMessages
from services.runtime.data_dir import make_data_dir
from services.runtime.health import Health
from services.runtime.settings import PREFIX, ConfigurationError, Settings
from services.runtime.tokens import TokenVerifier, embedded_secret, verifier

_LISTENS_S: Final = 1.5
"""Longer than a worker is silent."""
IN_USE_REMEDY: Final = "stop the other `fanout up`, or set another FANOUT_DATA_DIR"
LOG_FILE: Final = "log.db"
MEMBERSHIPS_FILE: Final = "memberships.db"
MESSAGES_FILE: Final = "messages.db"
"""In the data directory."""


class _Port(Protocol):
    async def ping(self) -> None: ...


class _Owned(_Port, Protocol):
    async def close(self) -> None: ...


_P = TypeVar("_P", bound=_Port)
_O = TypeVar("_O", bound=_Owned)


class Backends:
    """Opens each adapter once, when a service of this process first asks for it; the stack closes them.

    Args:
        settings: which to open.
        health: gets a check for each that is opened.
        stack: closes them, last opened first.
        alone: all services run in this process, so what only works inside one may be embedded.
        adopt: take over stores and streams that are in use and carry no deployment's id.
    """

    def __init__(
        self, settings: Settings, health: Health, stack: AsyncExitStack, *, alone: bool, adopt: bool = False
    ) -> None:
        self._settings = settings
        self._adopt = adopt
        self._health = health
        self._stack = stack
        self._alone = alone
        self._nats: Connection | None = None
        self._log: Log | None = None
        self._bus: Bus | None = None
        self._presence: RedisPresence | EmbeddedPresence | None = None
        self._memberships: SqliteMemberships | None = None
        self._messages: SqliteMessages | None = None
        self._authenticator: TokenVerifier | None = None

    async def log(self) -> Log:
        """The log: NATS JetStream, or embedded."""
        if self._log is None:
            self._log = await self._open_log()
        return self._log

    async def look_at_streams(self) -> StreamsFound | None:
        """What there is of the streams in NATS, None where the log is embedded; creates nothing."""
        nats = await self._connection()
        if nats is None:
            return None
        return await look_at_streams(nats, self._names, await self._existing_id())

    async def bus(self) -> Bus:
        """The bus: NATS, or embedded."""
        if self._bus is None:
            nats = await self._connection()
            self._bus = self._checked("bus", NatsBus(nats, self._names)) if nats else self._owned("bus", EmbeddedBus())
        return self._bus

    async def look_at_presence(self) -> list[str] | None:
        """What of the Redis is weak, a line each, None where presence is embedded; writes nothing.

        Raises:
            ForeignStore: it is another deployment's, or another program's.
        """
        if self._settings.redis_url is None:
            self._require_alone("REDIS_URL", "a redis-server")
            return None
        with _naming_redis():
            return await RedisPresence.look(
                self._settings.redis_url, prefix=self._settings.prefix, deployment=await self._existing_id()
            )

    async def presence(self, *, required: bool = True) -> Presence:
        """Presence: Redis, or embedded.

        Args:
            required: whether the service that asks is not ready without it; else it is degraded.
        """
        if self._presence is None:
            self._presence = await self._open_presence()
            self._stack.push_async_callback(self._presence.close)
        self._health.add("presence", self._presence.ping, required=required)
        return self._presence

    async def memberships(self) -> Memberships:
        """Memberships: SQLite under the data directory, which processes of one machine may share."""
        return await self._membership_store()

    async def deployment(self) -> Deployment:
        """What makes this process, its stores and its streams belong together: a part of the membership store."""
        return (await self._membership_store()).deployment

    async def messages(self) -> Messages:
        """Messages: SQLite under the data directory, which processes of one machine may share."""
        if self._messages is None:
            opened = await SqliteMessages.open(self._data(MESSAGES_FILE))
            self._stack.push_async_callback(opened.close)
            await opened.claim_for(await self._deployment_id(), adopt=self._adopt)
            self._messages = self._checked("messages", opened)
        return self._messages

    def authenticator(self) -> Authenticator:
        """Verifies tokens by the settings; alone and without a secret, by one that is made once and kept."""
        if self._authenticator is None:
            self._authenticator = self._verifier()
            if self._settings.jwks_url:
                self._health.add("keys", self._authenticator.check)
        return self._authenticator

    def _verifier(self) -> TokenVerifier:
        settings = self._settings
        if settings.jwt_secret or settings.jwks_url:
            return verifier(settings)
        self.require_secret()
        return verifier(settings, embedded_secret(settings.data_dir))

    def require_secret(self) -> None:
        """Refuse settings that name nothing to verify tokens with, unless one process may make a secret for itself.

        Raises:
            ConfigurationError: there is no secret, and other processes need the same.
        """
        if not (self._alone or self._settings.jwt_secret or self._settings.jwks_url):
            raise ConfigurationError(
                ["FANOUT_JWT_SECRET: services that run apart need the same; set it, or FANOUT_JWKS_URL"]
            )

    @property
    def _names(self) -> Names:
        return Names(self._settings.prefix)

    async def _existing_id(self) -> str | None:
        path = self._settings.data_dir / MEMBERSHIPS_FILE
        if not path.exists():
            return None
        check_prefix(await asyncio.to_thread(look_into, path, prefix_in), self._settings.prefix)
        return await asyncio.to_thread(look_into, path, id_in)

    async def _deployment_id(self) -> str:
        """The id that every store carries. The log says first whether the membership store is the right one."""
        await self.log()
        return await (await self.deployment()).make_id()

    async def _membership_store(self) -> SqliteMemberships:
        if self._memberships is None:
            opened = await SqliteMemberships.open(self._data(MEMBERSHIPS_FILE))
            self._stack.push_async_callback(opened.close)
            await opened.deployment.claim_prefix(self._settings.prefix)
            self._memberships = self._checked("memberships", opened)
        return self._memberships

    async def _open_presence(self) -> RedisPresence | EmbeddedPresence:
        url = self._settings.redis_url
        if url is None:
            self._require_alone("REDIS_URL", "a redis-server")
            return EmbeddedPresence()
        deployment = await self._deployment_id()
        with _naming_redis():
            if self._adopt:
                await RedisPresence.adopt(url, prefix=self._settings.prefix, deployment=deployment)
            return await RedisPresence.open(url, prefix=self._settings.prefix, deployment=deployment)

    async def _open_log(self) -> Log:
        settings = self._settings
        nats = await self._connection()
        if nats is None:
            return self._owned("log", await self._open_embedded_log())
        deployment = await self.deployment()
        if self._adopt and await deployment.existing_id() is None:
            await self._require_nobody_at_work()
        opened = await NatsLog.open(
            nats,
            deployment,
            names=self._names,
            partitions=settings.partitions,
            replicas=settings.stream_replicas,
            adopt=self._adopt,
        )
        return self._owned("log", opened)

    async def _require_nobody_at_work(self) -> None:
        """The id of streams is taken over for a membership store that was lost, not for a second one.

        Raises:
            FanoutError: a worker of the deployment to which the streams belong is running.
        """
        heard = asyncio.Event()
        subscription = await (await self.bus()).subscribe(WORKERS, lambda *_: heard.set())
        try:
            async with asyncio.timeout(_LISTENS_S):
                await heard.wait()
        except TimeoutError:
            return
        finally:
            await subscription.close()
        raise FanoutError("services of the deployment that these streams belong to are running: stop them first")

    async def _open_embedded_log(self) -> EmbeddedLog:
        path = self._data(LOG_FILE)
        try:
            return await EmbeddedLog.open(path, deployment=await self.deployment(), adopt=self._adopt, partitions=1)
        except InUse as error:
            raise Unavailable(f"{error}: {IN_USE_REMEDY}") from error

    async def _connection(self) -> Connection | None:
        if self._settings.nats_url is None:
            self._require_alone("NATS_URL", "a nats-server with JetStream")
            return None
        if self._nats is None:
            with naming("NATS_URL"):
                self._nats = await connect(self._settings.nats_url, name=f"fanout {self._settings.instance_id}")
            self._stack.push_async_callback(self._nats.close)
        return self._nats

    def _require_alone(self, variable: str, server: str) -> None:
        if not self._alone:
            raise ConfigurationError(
                [f"FANOUT_{variable}: services that run apart need {server} between them; set it, or use `fanout up`"]
            )

    def _data(self, name: str) -> Path:
        make_data_dir(self._settings.data_dir)
        return self._settings.data_dir / name

    def _owned(self, name: str, opened: _O) -> _O:
        self._stack.push_async_callback(opened.close)
        return self._checked(name, opened)

    def _checked(self, name: str, opened: _P) -> _P:
        self._health.add(name, opened.ping)
        return opened


@contextmanager
def naming(variable: str) -> Iterator[None]:
    """Say which setting leads to a server that is not there."""
    try:
        yield
    except Unavailable as error:
        raise Unavailable(f"{PREFIX}{variable}: {error}") from error


@contextmanager
def _naming_redis() -> Iterator[None]:
    try:
        with naming("REDIS_URL"):
            yield
    except (ValueError, TypeError):  # not chained: its text may quote the password
        raise ConfigurationError(
            ["FANOUT_REDIS_URL: the Redis client does not know its options; leave out what stands behind the ?"]
        ) from None
