"""An import: the file, the membership store, and the pace while services run."""

import asyncio
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from fanout.errors import FanoutError
from fanout.events import timestamp
from fanout.ports.presence import Leases
from fanout.ports.records import Records
from services.adapters.embedded.log import is_in_use
from services.adapters.files.json_lines import JsonLines
from services.adapters.files.parquet import ParquetRows
from services.composition.backends import Backends
from services.composition.data_files import LOG_FILE
from services.composition.deployment_id import MembershipStore
from services.composition.table import BACKENDS
from services.importing.importer import Importer, Watcher
from services.importing.pacing import Pacer
from services.importing.rows import ChannelRow, MembershipRow
from services.importing.tally import Tally
from services.importing.targets import Channels, MembersOfChannels
from services.runtime.health import Health
from services.runtime.settings import Settings

STDIN: Final = Path("-")
_SUFFIXES: Final = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet"}


class RowKind(StrEnum):
    """The kind of the rows of a file."""

    CHANNELS = "channels"
    MEMBERSHIPS = "memberships"


class Format(StrEnum):
    """How a file is written."""

    JSONL = "jsonl"
    PARQUET = "parquet"


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """The choices of one import."""

    kind: RowKind
    file: Path
    """`-` is standard input."""
    format: Format | None = None
    """None: by the name of the file."""
    skip: bool = False
    """Skip records that cannot be imported."""
    restart: bool = False
    """Begin at the beginning, though an earlier run was interrupted or has finished."""
    offline: bool = False
    """Write memberships as published, because no service runs."""
    per_second: int = 1_000
    """The most memberships that begin in a second while services run."""
    owner: str | None = None
    """The creator of channels that memberships name and that do not exist; None to refuse such rows."""


async def run_import(settings: Settings, options: ImportOptions, watcher: Watcher) -> Tally:
    """Import a file into the membership store of the settings.

    Raises:
        ConfigurationError: the settings are wrong.
        FanoutError: as `Importer.run`; or the file cannot be opened, or services run and the import is offline.
    """
    async with AsyncExitStack() as stack:
        backends = Backends(BACKENDS, settings, Health(), stack, alone=True)
        store = await backends.open(MembershipStore)
        if options.offline:
            await check_nothing_runs(backends)
        records = await asyncio.to_thread(open_records, options.file, options.format)
        stack.push_async_callback(asyncio.to_thread, records.close)
        importer = _importer(options, store, records, watcher)
        return await importer.run(restart=options.restart)


def open_records(file: Path, wanted: Format | None) -> Records:
    """Open a file of rows.

    Args:
        file: its name, or `-` for standard input.
        wanted: its format; None to go by the name.

    Raises:
        FanoutError: it cannot be opened, or the format is not known.
    """
    if file == STDIN:
        if wanted is Format.PARQUET:
            raise FanoutError("Parquet is read from its end, so it cannot come from standard input: name a file")
        return JsonLines.of_stream(sys.stdin.fileno(), "standard input")
    kind = wanted or _SUFFIXES.get(file.with_suffix("").suffix if file.suffix == ".gz" else file.suffix)
    if kind is None:
        raise FanoutError(f"the name {file.name} does not say the format: give --format jsonl or --format parquet")
    return ParquetRows.open(file) if kind == Format.PARQUET else JsonLines.open(file)


async def check_nothing_runs(backends: Backends) -> None:
    """Refuse an offline import while services are seen: their memory would lack what is imported.

    Raises:
        FanoutError: an instance has a lease, or a `fanout up` has the embedded log open.
    """
    settings = backends.settings
    if not settings.nats_url and is_in_use(settings.data_dir / LOG_FILE):
        raise _running("a fanout up runs")
    if settings.redis_url and (leases := await (await backends.open(Leases)).leases()):
        raise _running(f"instances run ({', '.join(sorted(leases))})")


def _running(what: str) -> FanoutError:
    return FanoutError(f"{what}, and would not learn of an offline import: stop all services, or leave out --offline")


def _importer(
    options: ImportOptions, store: MembershipStore, records: Records, watcher: Watcher
) -> Importer[ChannelRow] | Importer[MembershipRow]:
    now = timestamp()
    if options.kind is RowKind.CHANNELS:
        return Importer(records, Channels(store.imports, now), store.imports, watcher, skip=options.skip)
    pacer = None if options.offline else Pacer(store, options.per_second)
    target = MembersOfChannels(store.imports, now, pacer, options.owner)
    return Importer(records, target, store.imports, watcher, skip=options.skip)
