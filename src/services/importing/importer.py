"""An import: reads records, writes their rows, and keeps how far it has come after each write.

A process that dies loses at most the progress of one write. The next one repeats it, which changes nothing.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol

from fanout.errors import FanoutError, Unavailable
from fanout.ports.imports import Imports
from fanout.ports.records import Record, Records
from services.importing.portion import Portion
from services.importing.rows import BadRow
from services.importing.tally import Tally, keep_tally, kept_tally
from services.importing.targets import R, Target
from services.runtime.tasks import retry_times

ATTEMPTS = 20
"""How often a write is tried while the store is away: for half a minute, beside the waiting for answers. Each of the
first attempts has fewer rows than the one before, so a store that is only slow manages one of them."""


class ImportStopped(FanoutError):  # noqa: N818 - the condition, as elsewhere
    """A record cannot be imported, and bad records are not skipped. Everything before it was imported."""


class Watcher(Protocol):
    """Sees what an import does."""

    def resumed(self, tally: Tally) -> None:
        """An earlier run has come as far as `tally` says."""
        ...

    def remark(self, number: int, text: str) -> None:
        """Something is unusual about a record that was read."""
        ...

    def problem(self, number: int, text: str) -> None:
        """A record was not imported."""
        ...

    def progress(self, tally: Tally, share: float | None) -> None:
        """Rows were written; `share` of the file was read, if that is known."""
        ...

    def settling(self) -> None:
        """All rows are in the store, and some may not be published yet."""
        ...


@dataclass(slots=True)
class _Item(Generic[R]):
    record: Record
    row: R | None = None
    problem: str = ""


class Importer(Generic[R]):
    """Imports one file.

    Args:
        records: the file.
        target: takes the rows.
        imports: keeps the progress.
        watcher: sees it.
        skip: whether records that cannot be imported are skipped; otherwise the first one stops the import.
    """

    def __init__(
        self, records: Records, target: Target[R], imports: Imports, watcher: Watcher, *, skip: bool = False
    ) -> None:
        self._records = records
        self._target = target
        self._imports = imports
        self._watcher = watcher
        self._skip = skip
        self._name = f"{target.kind}:{records.identity}" if records.identity else None
        self._tally = Tally()
        self._portion = Portion(target.at_once)

    async def run(self, *, restart: bool = False) -> Tally:
        """Import the file from where an earlier run has come to.

        Args:
            restart: begin at the beginning.

        Raises:
            ImportStopped: a record cannot be imported, and such records are not skipped.
            NothingPublishes: no gateway publishes the changes.
            Unavailable: the store was away for too long.
            FanoutError: the file cannot be read.
        """
        self._check_fields()
        if not restart and self._name:
            await self._resume(self._name)
        if not self._tally.finished:
            await self._import_all()
        self._watcher.settling()
        await self._target.settle()
        return self._tally

    def _check_fields(self) -> None:
        try:
            if self._records.fields is not None:
                self._target.rows.check_fields(self._records.fields)
        except BadRow as error:
            raise ImportStopped(f"the file {error}") from error

    async def _resume(self, name: str) -> None:
        kept = await kept_tally(self._imports, name)
        if kept is None:
            return
        self._tally = kept
        self._watcher.resumed(kept)
        if not kept.finished:
            await asyncio.to_thread(self._records.start, kept.position)

    async def _import_all(self) -> None:
        self._watcher.progress(self._tally, self._records.share())
        while records := await asyncio.to_thread(self._records.read, self._target.at_once):
            await self._import_some(records)
        self._tally.finished = True
        await self._keep()

    async def _import_some(self, records: Sequence[Record]) -> None:
        items = [self._read(record) for record in records]
        await self._refuse([item for item in items if item.row is not None])
        bad = None if self._skip else next((at for at, item in enumerate(items) if item.problem), None)
        await self._write(items[:bad])
        if bad is not None:
            number, problem = items[bad].record.end.number, items[bad].problem
            self._watcher.problem(number, problem)
            raise ImportStopped(f"number {number} cannot be imported; what is before it was imported")

    def _read(self, record: Record) -> _Item[R]:
        if record.content is None:
            return _Item(record, problem=record.problem)
        try:
            return _Item(record, self._target.rows.read(record.content))
        except BadRow as error:
            return _Item(record, problem=str(error))

    async def _refuse(self, items: Sequence[_Item[R]]) -> None:
        rows = [item.row for item in items if item.row is not None]
        refused = await retry_times(ATTEMPTS, lambda: self._target.refused_channels(rows), "reading channels")
        for item in items if refused else ():
            if item.row is not None and item.row.channel_id in refused:
                item.problem, item.row = f"there is no channel {item.row.channel_id}", None

    async def _write(self, items: Sequence[_Item[R]]) -> None:
        rows = [item.row for item in items if item.row is not None]
        if rows:
            new = await self._write_rows(rows)
            self._tally.new += new
            self._tally.present += len(rows) - new
        for item in items:
            self._tell(item)
        if items:
            self._tally.lines, self._tally.offset = items[-1].record.end
            await self._keep()
        self._watcher.progress(self._tally, self._records.share())

    async def _write_rows(self, rows: Sequence[R]) -> int:
        """Write rows in portions that the store manages, and return how many were new."""
        new = 0
        while rows:
            written, began = await retry_times(ATTEMPTS, partial(self._write_portion, rows), "writing rows")
            new, rows = new + began, rows[written:]
        return new

    async def _write_portion(self, rows: Sequence[R]) -> tuple[int, int]:
        some = rows[: self._portion.rows]
        try:
            began = await self._target.write(some)
        except Unavailable:
            self._portion.failed()
            raise
        self._portion.succeeded()
        return len(some), began

    def _tell(self, item: _Item[R]) -> None:
        number = item.record.end.number
        if item.record.remark:
            self._watcher.remark(number, item.record.remark)
        if item.problem:
            self._tally.skipped += 1
            self._watcher.problem(number, item.problem)
        elif item.row is None:
            self._tally.blank += 1

    async def _keep(self) -> None:
        name = self._name
        if name:
            await retry_times(ATTEMPTS, lambda: keep_tally(self._imports, name, self._tally), "keeping the progress")
