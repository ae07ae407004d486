"""Each dependency that the settings name, looked at; nothing is made, neither a folder nor a stream nor a secret."""

import asyncio
from pathlib import Path
from typing import Final

import httpx

from fanout.errors import Unavailable
from services.adapters.embedded import store
from services.adapters.embedded.log import is_in_use
from services.adapters.redis.presence import RedisPresence
from services.adapters.sqlite import memberships, messages
from services.adapters.sqlite.database import Schema, inspect
from services.composition.backends import IN_USE_REMEDY, LOG_FILE, MEMBERSHIPS_FILE, MESSAGES_FILE, Backends
from services.runtime.data_dir import check_data_dir
from services.runtime.settings import Settings
from services.runtime.tokens import SECRET_FILE, stored_secret, verifier

READYZ_WITHIN_S: Final = 3.0


class Inspection:
    """Looks at one dependency per method: each returns what there is, in words, or raises what is wrong.

    Args:
        settings: that name them.
        backends: opens those that are servers.
    """

    def __init__(self, settings: Settings, backends: Backends) -> None:
        self._settings = settings
        self._backends = backends

    async def log(self) -> str:
        """The log: the streams in JetStream, or the embedded file, which a running `fanout up` has open."""
        if self._settings.nats_url is None:
            path = self._settings.data_dir / LOG_FILE
            return await self._log_in_use(path) if is_in_use(path) else await self._file(LOG_FILE, store.SCHEMA)
        partitions = await self._backends.existing_partitions()
        if partitions is None:
            return "NATS JetStream; its streams are made at the first start, or by `fanout migrate`"
        return f"NATS JetStream, {partitions} partitions"

    async def bus(self) -> str:
        """The bus: NATS, or embedded."""
        await (await self._backends.bus()).ping()
        return "NATS" if self._settings.nats_url else "embedded"

    async def presence(self) -> str:
        """Presence: Redis, or embedded."""
        presence = await self._backends.presence()
        warnings = await presence.warnings() if isinstance(presence, RedisPresence) else []
        return "; ".join(["Redis" if self._settings.redis_url else "embedded", *warnings])

    async def memberships(self) -> str:
        """Memberships, in SQLite."""
        return await self._file(MEMBERSHIPS_FILE, memberships.SCHEMA)

    async def messages(self) -> str:
        """Messages, in SQLite."""
        return await self._file(MESSAGES_FILE, messages.SCHEMA)

    async def tokens(self) -> str:
        """What tokens are verified with: the issuer's keys are fetched, and a secret is looked for."""
        settings = self._settings
        secret = ""
        if settings.jwks_url:
            source = "the issuer's JWKS"
        elif settings.jwt_secret:
            source = "FANOUT_JWT_SECRET"
        else:
            secret = stored_secret(settings.data_dir) or ""
            kept_in = settings.data_dir / SECRET_FILE
            source = f"the secret in {kept_in}" if secret else f"a secret that the first `fanout up` puts in {kept_in}"
        await verifier(settings, None if settings.jwks_url else secret).ping()
        return f"{', '.join(settings.jwt_algorithms)} by {source}"

    async def _file(self, name: str, schema: Schema) -> str:
        path = self._settings.data_dir / name
        check_data_dir(self._settings.data_dir)
        if not path.exists():
            return f"SQLite, embedded; {path} is made at the first start, or by `fanout migrate`"
        await asyncio.to_thread(inspect, path, schema)
        return f"SQLite, embedded in {path}"

    async def _log_in_use(self, path: Path) -> str:
        url = f"http://{self._settings.listen.from_here()}/readyz"
        try:
            async with httpx.AsyncClient(timeout=READYZ_WITHIN_S, trust_env=False) as http:
                report = (await http.get(url)).json()
            wrong = {name: said for name, said in report["checks"].items() if said != "ok"}
            state = "not ready" if not report["ready"] else "degraded" if wrong else "ready"
        except (httpx.HTTPError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise Unavailable(
                f"{path} is open in another process, and no gateway answers at FANOUT_LISTEN "
                f"({self._settings.listen}): {IN_USE_REMEDY}"
            ) from error
        said = f" ({', '.join(f'{name}: {text}' for name, text in wrong.items())})" if wrong else ""
        return f"embedded, in use by the running fanout up, which is {state}{said}"
