"""The stores in files of the data directory: the embedded log, and stores in SQLite."""

import asyncio
from pathlib import Path
from typing import Final, Protocol, Self, TypeVar

import httpx

from fanout.errors import Unavailable
from services.adapters.embedded import store
from services.adapters.embedded.log import EmbeddedLog, InUse, is_in_use
from services.adapters.sqlite.database import Schema, inspect, look_into
from services.adapters.sqlite.deployment import check_prefix, id_in, prefix_in
from services.adapters.sqlite.memberships import SqliteMemberships
from services.composition.backends import Backends, Found, Look, Open
from services.composition.deployment_id import deployment_id, deployment_of
from services.runtime.data_dir import check_data_dir, make_data_dir
from services.runtime.settings import Settings

IN_USE_REMEDY: Final = "stop the other `fanout up`, or set another FANOUT_DATA_DIR"
LOG_FILE: Final = "log.db"
MEMBERSHIPS_FILE: Final = "memberships.db"
MESSAGES_FILE: Final = "messages.db"
UNREAD_FILE: Final = "unread.db"
READYZ_WITHIN_S: Final = 3.0


class _CarriesId(Protocol):
    """A store of `services.adapters.sqlite` that carries the deployment's id."""

    @classmethod
    async def open(cls, path: Path | None) -> Self: ...
    async def claim_for(self, deployment: str, *, adopt: bool = False) -> None: ...
    async def ping(self) -> None: ...
    async def close(self) -> None: ...


_S = TypeVar("_S", bound=_CarriesId)


def opens_sqlite(name: str, kind: type[_S]) -> Open[_S]:
    """Make the function that opens a store in a file of the data directory.

    Args:
        name: of the file.
        kind: the store's class.
    """

    async def open_store(backends: Backends) -> _S:
        opened = backends.close_at_end(await kind.open(_made(backends.settings, name)))
        await opened.claim_for(await deployment_id(backends), adopt=backends.adopt)
        return opened

    return open_store


def looks_at_sqlite(name: str, schema: Schema) -> Look:
    """Make the function that checks a store in a file of the data directory.

    Args:
        name: of the file.
        schema: that this program uses.
    """

    async def look(backends: Backends) -> Found:
        directory = backends.settings.data_dir
        path = directory / name
        check_data_dir(directory)
        if not path.exists():
            return Found(f"SQLite, embedded; {path} is created at the first start, or by `fanout migrate`")
        await asyncio.to_thread(inspect, path, schema)
        return Found(f"SQLite, embedded in {path}")

    return look


async def open_memberships(backends: Backends) -> SqliteMemberships:
    """Open the membership store, which serves one prefix."""
    path = _made(backends.settings, MEMBERSHIPS_FILE)
    opened = backends.close_at_end(await SqliteMemberships.open(path))
    await opened.deployment.claim_prefix(backends.settings.prefix)
    return opened


async def existing_sqlite_id(backends: Backends) -> str | None:
    """The deployment's id in the membership store's file; None where the file or the id is missing.

    Raises:
        ForeignStore: the store belongs to the deployment of another prefix.
    """
    path = backends.settings.data_dir / MEMBERSHIPS_FILE
    if not path.exists():
        return None
    check_prefix(await asyncio.to_thread(look_into, path, prefix_in), backends.settings.prefix)
    return await asyncio.to_thread(look_into, path, id_in)


async def open_embedded_log(backends: Backends) -> EmbeddedLog:
    """Open the embedded log, which one process at a time may have open.

    Raises:
        Unavailable: another process has it open.
    """
    path = _made(backends.settings, LOG_FILE)
    deployment = await deployment_of(backends)
    try:
        opened = await EmbeddedLog.open(path, deployment=deployment, adopt=backends.adopt, partitions=1)
    except InUse as error:
        raise Unavailable(f"{error}: {IN_USE_REMEDY}") from error
    return backends.close_at_end(opened)


async def look_at_embedded_log(backends: Backends) -> Found:
    """Check the embedded log. If a running `fanout up` has it open, the answer of its `/readyz` counts."""
    path = backends.settings.data_dir / LOG_FILE
    if is_in_use(path):
        return await _look_at_running(backends.settings, path)
    return await looks_at_sqlite(LOG_FILE, store.SCHEMA)(backends)


async def embedded_durability(_: Backends) -> Found:
    """Say when an accepted message is on the disk."""
    return Found("SQLite, written to the disk before a message is accepted")


async def _look_at_running(settings: Settings, path: Path) -> Found:
    try:
        state, wrong = await _readiness(f"http://{settings.listen.from_here()}/readyz")
    except (httpx.HTTPError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise Unavailable(
            f"{path} is open in another process, and no gateway answers at FANOUT_LISTEN "
            f"({settings.listen}): {IN_USE_REMEDY}"
        ) from error
    said = f" ({', '.join(f'{name}: {text}' for name, text in wrong.items())})" if wrong else ""
    return Found(f"embedded, in use by the running fanout up, which is {state}{said}")


async def _readiness(url: str) -> tuple[str, dict[str, str]]:
    async with httpx.AsyncClient(timeout=READYZ_WITHIN_S, trust_env=False) as http:
        report = (await http.get(url)).json()
    wrong = {name: said for name, said in report["checks"].items() if said != "ok"}
    return "not ready" if not report["ready"] else "degraded" if wrong else "ready", wrong


def _made(settings: Settings, name: str) -> Path:
    make_data_dir(settings.data_dir)
    return settings.data_dir / name
