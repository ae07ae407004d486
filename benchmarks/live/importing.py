"""Memberships imported into MongoDB, killed in the middle and resumed, beside PyMongo's bulk inserts alone.

Both write to databases of one server, half of the memberships each in turn. The import is the one of `fanout import
memberships --offline`, in a process of its own.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta
from pymongo import AsyncMongoClient

from benchmarks.errors import BenchError
from benchmarks.live.servers import Server, running, workplace
from benchmarks.machine import peak_bytes
from benchmarks.processes import Leader, Worker
from fanout.errors import FanoutError
from fanout.events import timestamp
from fanout.ports.imports import NewMembership
from services.adapters.mongo.documents import key, membership_document, new_membership
from services.adapters.mongo.schema import INDEXES, MEMBERSHIPS
from services.composition.importing import ImportOptions, RowKind, run_import
from services.importing.tally import Tally
from services.importing.targets import AT_ONCE
from services.runtime.settings import load_settings

FULL_MEMBERSHIPS: Final = 1_000_000
_INSERTED_AT_ONCE: Final = 1_000
_LOOKED_AT: Final = 50
_WITHIN_S: Final = 3_600.0
"""For an answer of the import: one write at most."""


class ImportScale(msgspec.Struct, frozen=True):
    """How much there is to import."""

    memberships: Annotated[int, Meta(ge=100, description="Memberships of the file.")] = FULL_MEMBERSHIPS
    channels: Annotated[int, Meta(ge=1, description="Channels that they are in, by which the file is sorted.")] = 1_000

    def pairs(self) -> Iterator[tuple[str, str]]:
        """The channel and the user of each membership."""
        for number in range(self.memberships):
            yield f"channel-{number * self.channels // self.memberships:06}", f"user-{number:08}"


class Half(msgspec.Struct, frozen=True):
    """One half of the memberships in both ways."""

    rows: int
    seconds: float
    """The import's, from its first report of progress to its last one."""
    bare: float
    """Memberships per second of the bulk inserts."""
    longest_wait: float
    """The most seconds between two reports of progress."""
    peaks: list[int]
    """The most bytes that the process had held when each report came."""

    @property
    def rate(self) -> float:
        """Memberships per second of the import."""
        return self.rows / self.seconds


class Imported(msgspec.Struct, frozen=True):
    """Both halves: one that ended with a kill, and one that went on from there."""

    first: Half
    second: Half
    repeated: int
    """Rows that were written a second time."""


class _Job(NamedTuple):
    kind: RowKind
    file: Path
    url: str
    data: Path


class _Seen(NamedTuple):
    """A report of progress."""

    lines: int
    present: int
    finished: bool
    at: float
    peak: int


class _Reporter:
    """Passes the progress of an import on."""

    def __init__(self, leader: Leader) -> None:
        self._leader = leader

    def resumed(self, tally: Tally) -> None:
        pass

    def remark(self, number: int, text: str) -> None:
        raise BenchError(f"line {number}: {text}")

    def problem(self, number: int, text: str) -> None:
        raise BenchError(f"line {number}: {text}")

    def progress(self, tally: Tally, _share: float | None) -> None:
        self.send(tally)

    def settling(self) -> None:
        pass

    def send(self, tally: Tally) -> None:
        self._leader.send(_Seen(tally.lines, tally.present, tally.finished, time.monotonic(), peak_bytes()))


def _run_job(job: _Job, leader: Leader) -> None:
    reporter = _Reporter(leader)
    settings = load_settings(mongo_url=job.url, data_dir=job.data)
    try:
        reporter.send(
            asyncio.run(run_import(settings, ImportOptions(kind=job.kind, file=job.file, offline=True), reporter))
        )
    except FanoutError as error:
        raise BenchError(f"the import ended: {error}") from None


def import_twice(scale: ImportScale) -> Imported:
    """Import a file, kill the import in the middle, and import it again.

    Raises:
        BenchError: there is no server, or not every membership is there, once.
    """
    with workplace() as folder:
        data = folder / "server"
        data.mkdir()
        with running("ferretdb", data) as server:
            return _measure(scale, folder, server)


def _measure(scale: ImportScale, folder: Path, server: Server) -> Imported:
    channels, memberships = _write_files(scale, folder)
    url, bare = (f"mongodb://127.0.0.1:{server.port}/{name}" for name in ("imported", "bare"))
    _import(_Job(RowKind.CHANNELS, channels, url, folder), _finished)
    asyncio.run(_create_indexes(bare))
    job, pairs, middle = _Job(RowKind.MEMBERSHIPS, memberships, url, folder), scale.pairs(), scale.memberships // 2
    bare_rates = [asyncio.run(_insert(bare, islice(pairs, middle)))]
    until_killed = _import(job, lambda seen: seen.lines >= middle)
    bare_rates.append(asyncio.run(_insert(bare, pairs)))
    resumed = _import(job, _finished)
    asyncio.run(_check(url, scale))
    if resumed[0].finished:
        raise BenchError("the import ended before it was killed: let it import more")
    if resumed[0].lines < until_killed[-1].lines - AT_ONCE:
        raise BenchError(f"killed at line {until_killed[-1].lines:,}, the import went on from {resumed[0].lines:,}")
    first, second = (_half(seen, rate) for seen, rate in zip((until_killed, resumed), bare_rates, strict=True))
    return Imported(first, second, resumed[-1].present)


def _write_files(scale: ImportScale, folder: Path) -> tuple[Path, Path]:
    channels, memberships = folder / "channels.jsonl", folder / "memberships.jsonl"
    names = dict.fromkeys(channel_id for channel_id, _ in scale.pairs())
    with channels.open("w") as lines:
        lines.writelines(f'{{"channel_id":"{each}","name":"{each}","created_by":"user-0"}}\n' for each in names)
    with memberships.open("w") as lines:
        lines.writelines(f'{{"channel_id":"{channel}","user_id":"{user}"}}\n' for channel, user in scale.pairs())
    return channels, memberships


def _import(job: _Job, until: Callable[[_Seen], bool]) -> list[_Seen]:
    """Import, and kill the process in the next write after it has reported what it should; all that it reported."""
    with Worker(f"the import of {job.kind}", _run_job, job, answer_within_s=_WITHIN_S) as worker:
        seen = [worker.receive(_Seen)]
        while not until(seen[-1]):
            seen.append(worker.receive(_Seen))
        if not seen[-1].finished:
            time.sleep((seen[-1].at - seen[0].at) / len(seen) / 3)
        return seen


def _finished(seen: _Seen) -> bool:
    return seen.finished


def _half(seen: list[_Seen], bare: float) -> Half:
    times = [each.at for each in seen]
    waits = [after - before for before, after in pairwise(times)]
    return Half(seen[-1].lines - seen[0].lines, times[-1] - times[0], bare, max(waits), [each.peak for each in seen])


async def _create_indexes(url: str) -> None:
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        await client.get_default_database()[MEMBERSHIPS].create_indexes(list(INDEXES[MEMBERSHIPS]))


async def _insert(url: str, pairs: Iterator[tuple[str, str]]) -> float:
    """Insert memberships; how many a second."""
    now, began, inserted = timestamp(), time.perf_counter(), 0
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        documents = client.get_default_database()[MEMBERSHIPS]
        while some := list(islice(pairs, _INSERTED_AT_ONCE)):
            new = (new_membership(NewMembership(*pair, now), 1, published=True) for pair in some)
            await documents.insert_many([membership_document(each) for each in new], ordered=False)
            inserted += len(some)
    return inserted / (time.perf_counter() - began)


async def _check(url: str, scale: ImportScale) -> None:
    """Each membership has one document, which its `_id` says: so all are there if there are as many."""
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        documents = client.get_default_database()[MEMBERSHIPS]
        found = await documents.estimated_document_count()
        if found != scale.memberships:
            raise BenchError(f"there are {found:,} memberships, of {scale.memberships:,}")
        for pair in islice(scale.pairs(), 0, None, max(1, scale.memberships // _LOOKED_AT)):
            document = await documents.find_one({"_id": key(*pair)})
            if document is None or not document["active"]:
                raise BenchError(f"the membership {pair} is not there")
