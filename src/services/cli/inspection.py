"""Each dependency that the settings name, looked at; nothing is made, neither a folder nor a stream nor a secret."""

import asyncio
import errno
import os
from pathlib import Path
from typing import Final, NamedTuple

import httpx

from fanout.errors import FanoutError, Unavailable
from services.adapters.embedded import store
from services.adapters.embedded.log import is_in_use
from services.adapters.nats_monitor import sync_interval
from services.adapters.sqlite import memberships, messages
from services.adapters.sqlite.database import Schema, inspect
from services.composition.backends import IN_USE_REMEDY, LOG_FILE, MEMBERSHIPS_FILE, MESSAGES_FILE, Backends, naming
from services.runtime.data_dir import check_data_dir
from services.runtime.listening import try_to_bind
from services.runtime.settings import Address, ConfigurationError, Settings, cannot_listen
from services.runtime.tokens import SECRET_FILE, stored_secret, verifier

READYZ_WITHIN_S: Final = 3.0
EVERY_MESSAGE_FITS: Final = 320 * 1024
"""Bytes that the bus and the streams must take for the longest message that REST does."""
_LONGER_MESSAGES: Final = (
    f"longer messages of users are refused (413); with at least {EVERY_MESSAGE_FITS:,} all can pass"
)
_SHORT_SYNC_S: Final = 5.0
_SAFE_REPLICAS: Final = 3


class Found(NamedTuple):
    """What there is of a dependency."""

    good: str
    weak: tuple[str, ...] = ()
    """What can be run with but should not be, a sentence each."""


class Inspection:
    """Looks at one dependency per method: each returns what there is, in words, or raises what is wrong.

    Args:
        settings: that name them.
        backends: opens those that are servers.
        starting: a service is to be started here, so its addresses must be free.
    """

    def __init__(self, settings: Settings, backends: Backends, *, starting: bool) -> None:
        self._settings = settings
        self._backends = backends
        self._starting = starting

    async def log(self) -> Found:
        """The log: the streams in JetStream, or the embedded file, which a running `fanout up` has open."""
        streams = await self._backends.look_at_streams()
        if streams is None:
            path = self._settings.data_dir / LOG_FILE
            return await self._log_in_use(path) if is_in_use(path) else await self._file(LOG_FILE, store.SCHEMA)
        weak = [f"{consumer}, and then discarded unread" for consumer in streams.behind]
        if streams.max_event is not None and streams.max_event < EVERY_MESSAGE_FITS:
            weak.append(f"a stream has a max_msg_size of {streams.max_event:,} bytes: {_LONGER_MESSAGES}")
        if streams.partitions is None:
            return Found("NATS JetStream; its streams are made at the first start, or by `fanout migrate`", tuple(weak))
        return Found(f"NATS JetStream, {streams.partitions} partitions", tuple(weak))

    async def durability(self) -> Found:
        """What the log has kept once it has said so; `docs/durability.md`."""
        try:
            streams = await self._backends.look_at_streams()
        except FanoutError as error:
            raise Unavailable("nothing can be said of it without the log") from error
        if streams is None:
            return Found("SQLite, on the disk before a message is accepted")
        replicas = streams.replicas or self._settings.stream_replicas
        return durability(replicas, await self._slowest_sync())

    async def bus(self) -> Found:
        """The bus: NATS, or embedded."""
        bus = await self._backends.bus()
        await bus.ping()
        good = f"{'NATS' if self._settings.nats_url else 'embedded'}, messages of up to {bus.max_payload:,} bytes"
        if bus.max_payload >= EVERY_MESSAGE_FITS:
            return Found(good)
        return Found(good, (f"the server's max_payload is {bus.max_payload:,} bytes: {_LONGER_MESSAGES}",))

    async def presence(self) -> Found:
        """Presence: Redis, or embedded."""
        weak = await self._backends.look_at_presence()
        return Found("embedded") if weak is None else Found("Redis", tuple(weak))

    async def listen(self) -> Found:
        """The address of REST, health and metrics."""
        return self._address("LISTEN", self._settings.listen)

    async def ws_listen(self) -> Found:
        """The address of the WebSockets, which every service that has them needs beside that of health."""
        address = self._settings.ws_listen
        if self._starting and address.overlaps(self._settings.listen):
            raise ConfigurationError([f"FANOUT_WS_LISTEN: {address} is FANOUT_LISTEN's too; set another port"])
        return self._address("WS_LISTEN", address)

    async def snapshot(self) -> Found:
        """The folder of the worker's snapshots."""
        if self._settings.snapshot is None:
            return Found("none is kept: the table is loaded from the stores at each start")
        path = self._settings.data_dir / self._settings.snapshot
        if path.parent == self._settings.data_dir:
            check_data_dir(path.parent)  # made at the start
        elif not os.access(path.parent, os.W_OK | os.X_OK):
            raise ConfigurationError([f"FANOUT_SNAPSHOT: {path.parent} is no folder that can be written; make it"])
        return Found(f"in {path}")

    async def memberships(self) -> Found:
        """Memberships, in SQLite."""
        return await self._file(MEMBERSHIPS_FILE, memberships.SCHEMA)

    async def messages(self) -> Found:
        """Messages, in SQLite."""
        return await self._file(MESSAGES_FILE, messages.SCHEMA)

    async def tokens(self) -> Found:
        """What tokens are verified with: the issuer's keys are fetched, and a secret is looked for."""
        self._backends.require_secret()
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
        return Found(f"{', '.join(settings.jwt_algorithms)} by {source}")

    def _address(self, variable: str, address: Address) -> Found:
        try:
            try_to_bind(address)
        except OSError as error:
            # A service that runs holds it; only one that is to be started cannot do with that.
            if self._starting or error.errno != errno.EADDRINUSE:
                raise cannot_listen(variable, address, error) from error
            return Found(f"{address} is in use, by a running service or another program")
        return Found(f"{address} is free")

    async def _slowest_sync(self) -> float | None:
        """The longest of what the servers say, None where that cannot be seen."""
        urls = (self._settings.nats_monitor_url or "").split(",")
        with naming("NATS_MONITOR_URL"):
            intervals = [await sync_interval(url.strip()) for url in urls if url]
        return max((interval for interval in intervals if interval is not None), default=None)

    async def _file(self, name: str, schema: Schema) -> Found:
        path = self._settings.data_dir / name
        check_data_dir(self._settings.data_dir)
        if not path.exists():
            return Found(f"SQLite, embedded; {path} is made at the first start, or by `fanout migrate`")
        await asyncio.to_thread(inspect, path, schema)
        return Found(f"SQLite, embedded in {path}")

    async def _log_in_use(self, path: Path) -> Found:
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
        return Found(f"embedded, in use by the running fanout up, which is {state}{said}")


def durability(replicas: int, sync_s: float | None) -> Found:
    """What an accepted message survives.

    Args:
        replicas: of the streams.
        sync_s: how often a server writes through to the disk: 0 before it acknowledges, None where nobody knows.
    """
    good = f"streams with {replicas} replica{'s' if replicas > 1 else ''}; {_synced(sync_s)}"
    if replicas >= _SAFE_REPLICAS or (sync_s is not None and sync_s <= _SHORT_SYNC_S):
        return Found(good)
    if sync_s is None:
        why = "how often the server syncs cannot be seen without FANOUT_NATS_MONITOR_URL; its default is 120 s"
    else:
        why = f"a server that loses power loses up to {sync_s:g} s of accepted messages"
    return Found(good, (f"{why}; see sync_interval and FANOUT_STREAM_REPLICAS in docs/durability.md",))


def _synced(sync_s: float | None) -> str:
    if sync_s is None:
        return "sync_interval not seen"
    return f"synced every {sync_s:g} s" if sync_s else "synced before a message is accepted"
