"""Snapshots of the table. A worker that starts from one need not load the memberships from their store."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import structlog

from fanout import Engine, SnapshotRefused, Unavailable, machine
from fanout.ports.log import Log, StoredEvent
from fanout.streams import META
from services.fan_out.metrics import SNAPSHOT_BYTES, SNAPSHOT_SECONDS, SNAPSHOTS_FAILED
from services.runtime.tasks import retry_forever

log = structlog.get_logger(__name__)

EVERY_S: Final = 60.0
OLDEST_S: Final = 3_600.0
"""An older snapshot is not used: few of its users are still there, and too many changes have to be applied."""


class Note(msgspec.Struct, frozen=True):
    """A worker's note in its snapshot, which the engine stores and does not read.

    Attributes:
        position: each membership change up to this sequence of META is in the table.
        last: a digest of the event at `position`, which differs in another stream; empty where there was no event.
        taken_at: when the snapshot was taken, in seconds since 1970.
    """

    position: int
    last: str
    taken_at: float


@dataclass(frozen=True)
class Start:
    """A restored snapshot, from which a worker starts.

    Attributes:
        engine: has the table.
        after: the membership changes after this sequence of META are still to be applied.
        taken_at: when the snapshot was taken, in microseconds since 1970.
    """

    engine: Engine
    after: int
    taken_at: int


class Snapshots:
    """The snapshot file. Workers may share it, because all have the same table.

    Args:
        path: the file, in a folder that exists.
        events: the log; its META has the changes since the snapshot.
        every_s: seconds between two snapshots.
        clock: seconds since 1970, as in the process that wrote the file.
    """

    def __init__(
        self, path: Path, events: Log, *, every_s: float = EVERY_S, clock: Callable[[], float] = machine.wall_s
    ) -> None:
        self._path = path
        self._log = events
        self._clock = clock
        self.every_s = every_s

    async def restore(self) -> Start | None:
        """Restore the snapshot.

        Returns:
            the table; None where the snapshot cannot be used, and the table has to be loaded from the stores.
        """
        try:
            engine = await asyncio.to_thread(Engine.restore, self._path, **machine.engine_options())
            note = msgspec.json.decode(engine.snapshot_note, type=Note)
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("snapshot cannot be read", path=str(self._path), reason=str(error))
            return None
        except (SnapshotRefused, msgspec.DecodeError) as error:
            self._put_aside(str(error))
            return None
        why_not = await self._why_not(note)
        if why_not:
            log.warning("snapshot is not used", path=str(self._path), reason=why_not)
            return None
        log.info("snapshot restored", path=str(self._path), users=engine.stats()["users"], position=note.position)
        return Start(engine, note.position, int(note.taken_at * 1_000_000))

    async def write(self, engine: Engine, position: int) -> None:
        """Write a snapshot. A failure is logged and counted.

        Args:
            engine: has the table.
            position: each membership change up to this sequence of META was applied.
        """
        began = machine.precise_s()
        try:
            # There is one attempt only: a worker that is drained while the log is away must not wait for it.
            note = Note(position, _digest(await self._log.get(META, position)), self._clock())
            written = await asyncio.to_thread(engine.snapshot, self._path, msgspec.json.encode(note))
        except (OSError, Unavailable) as error:
            SNAPSHOTS_FAILED.inc()
            log.warning("snapshot cannot be written", path=str(self._path), reason=str(error))
            return
        SNAPSHOT_SECONDS.set(machine.precise_s() - began)
        SNAPSHOT_BYTES.set(written)

    def _put_aside(self, reason: str) -> None:
        # The file may be something else, put there by mistake. The next snapshot must not overwrite it.
        aside = self._path.with_name(f"{self._path.name}.refused")
        log.warning("snapshot is refused", path=str(self._path), reason=reason, kept_as=str(aside))
        try:
            self._path.replace(aside)
        except OSError as error:
            log.warning("snapshot cannot be put aside", path=str(self._path), reason=str(error))

    async def _why_not(self, note: Note) -> str:
        if not 0 <= self._clock() - note.taken_at <= OLDEST_S:
            return "it is too old, or from the future"
        newest = await retry_forever(lambda: self._log.last_seq(META), "finding the end of the membership changes")
        there = await retry_forever(lambda: self._log.get(META, note.position), "reading the last membership change")
        following = await retry_forever(lambda: self._log.get(META, note.position + 1), "reading a membership change")
        if note.position > newest or (there is not None and _digest(there) != note.last):
            return "it is of another log"
        if note.position < newest and following is None:
            return "the log no longer holds the membership changes since"
        return ""


def _digest(event: StoredEvent | None) -> str:
    return hashlib.sha256(event.payload).hexdigest() if event else ""
