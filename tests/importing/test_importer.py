"""An import: what is written, counted and reported, where it stops, and where it goes on."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest

from fanout.errors import Unavailable
from services.adapters.sqlite.memberships import SqliteMemberships
from services.importing import importer
from services.importing.importer import Importer, ImportStopped
from services.importing.rows import ChannelRow, MembershipRow
from services.importing.tally import Tally
from services.importing.targets import Channels, MembersOfChannels
from services.runtime import tasks
from tests.support.importing import AWAY, DeadError, ListedRecords, RecordingWatcher

NOW = "2026-02-01T10:00:00.000Z"


@pytest.fixture
async def store() -> AsyncIterator[SqliteMemberships]:
    opened = await SqliteMemberships.open(None)
    await Channels(opened.imports, NOW).write([ChannelRow("general", "General", "alice")])
    yield opened
    await opened.close()


@pytest.fixture
def watcher() -> RecordingWatcher:
    return RecordingWatcher()


def row(user: str, channel: str = "general") -> bytes:
    return msgspec.json.encode({"channel_id": channel, "user_id": user})


def users(count: int) -> list[bytes]:
    return [row(f"user-{number:02}") for number in range(count)]


class SmallTarget(MembersOfChannels):
    """Takes three rows at a time, and fails as it is told."""

    def __init__(self, store: SqliteMemberships, failures: Sequence[Exception | None] = ()) -> None:
        super().__init__(store.imports, NOW, None)
        self.at_once = 3
        self.failures = list(failures)
        self.settled = False

    async def write(self, rows: Sequence[MembershipRow]) -> int:
        began = await super().write(rows)
        if self.failures and (failure := self.failures.pop(0)) is not None:
            raise failure
        return began

    async def settle(self) -> None:
        self.settled = True


def importing(
    store: SqliteMemberships, contents: Sequence[Any], watcher: RecordingWatcher, *, skip: bool = False, **options: Any
) -> Importer[MembershipRow]:
    target = options.pop("target", None) or SmallTarget(store)
    return Importer(ListedRecords(contents, **options), target, store.imports, watcher, skip=skip)


async def members(store: SqliteMemberships) -> list[str]:
    return await store.members_of("general")


async def test_every_row_is_imported_and_counted(store: SqliteMemberships, watcher: RecordingWatcher) -> None:
    tally = await importing(store, [*users(7), None, row("user-00")], watcher).run()
    assert tally == Tally(lines=9, offset=90, new=7, present=1, blank=1, finished=True)
    assert await members(store) == [f"user-{number:02}" for number in range(7)]
    assert watcher.remarks == [(8, "blank")]
    assert watcher.problems == []
    assert watcher.read == [0, 3, 6, 9]


BAD = [row("a"), b"{", row("b"), "longer than it may be", row("c", "nowhere"), row("d"), row("e.f")]


async def test_bad_rows_are_reported_in_order_and_the_others_are_imported(
    store: SqliteMemberships, watcher: RecordingWatcher
) -> None:
    tally = await importing(store, BAD, watcher, skip=True).run()
    assert (tally.new, tally.skipped, tally.finished) == (3, 4, True)
    assert await members(store) == ["a", "b", "d"]
    assert [number for number, _ in watcher.problems] == [2, 4, 5, 7]
    assert watcher.problems[2] == (5, "there is no channel nowhere")


@pytest.mark.parametrize(("first", "number"), [(1, 2), (2, 4), (4, 5), (5, 7)])
async def test_the_first_bad_row_stops_the_import_with_everything_before_it_imported(
    store: SqliteMemberships, watcher: RecordingWatcher, first: int, number: int
) -> None:
    good = [row("a"), row("b"), row("c"), row("d"), row("e"), row("f"), row("g")]
    contents = [*good[: number - 1], BAD[number - 1], *good[number - 1 :]]
    with pytest.raises(ImportStopped, match=f"number {number} "):
        await importing(store, contents, watcher).run()
    assert len(await members(store)) == number - 1
    assert [found for found, _ in watcher.problems] == [number]


async def test_an_import_that_stopped_goes_on_at_the_bad_row(
    store: SqliteMemberships, watcher: RecordingWatcher
) -> None:
    with pytest.raises(ImportStopped):
        await importing(store, BAD, watcher).run()
    again = importing(store, BAD, watcher, skip=True)
    tally = await again.run()
    assert again._records.started_at == (1, 10)  # type: ignore[attr-defined]
    assert watcher.resumed_at == [1]
    assert (tally.lines, tally.new, tally.present, tally.skipped) == (7, 3, 0, 4)
    assert [number for number, _ in watcher.problems] == [2, 2, 4, 5, 7]


@pytest.mark.parametrize("write", range(4))
async def test_an_import_that_died_goes_on_and_a_repeated_write_changes_nothing(
    store: SqliteMemberships, watcher: RecordingWatcher, write: int
) -> None:
    """It dies when the store has the rows of a write, and the progress does not say so yet."""
    target = SmallTarget(store, [*[None] * write, DeadError()])
    with pytest.raises(DeadError):
        await importing(store, users(10), watcher, target=target).run()
    before = await store.changed_since(0, limit=20)
    tally = await importing(store, users(10), watcher).run()
    assert (tally.lines, tally.new + tally.present) == (10, 10)
    assert tally.present == min(3, 10 - 3 * write)
    after = await store.changed_since(0, limit=20)
    assert after[: len(before)] == before
    assert len(after) == 10


class SlowTarget(SmallTarget):
    """Manages a number of rows in time. What it does not manage is written all the same, after nobody waits for it."""

    def __init__(self, store: SqliteMemberships, manages: int) -> None:
        super().__init__(store)
        self.at_once = 100
        self.manages = manages
        self.writes: list[int] = []

    async def write(self, rows: Sequence[MembershipRow]) -> int:
        self.writes.append(len(rows))
        began = await super().write(rows)
        if len(rows) > self.manages:
            raise AWAY
        return began


@pytest.mark.parametrize("manages", [1, 7, 50])
async def test_a_store_that_is_too_slow_for_many_rows_gets_fewer_and_loses_none(
    store: SqliteMemberships, watcher: RecordingWatcher, monkeypatch: pytest.MonkeyPatch, manages: int
) -> None:
    monkeypatch.setattr(tasks, "FIRST_DELAY_S", 0.0)
    target = SlowTarget(store, manages)
    tally = await importing(store, users(99), watcher, target=target).run()
    assert (tally.lines, tally.new + tally.present, tally.finished) == (99, 99, True)
    assert await members(store) == [f"user-{number:02}" for number in range(99)]
    assert sum(rows for rows in target.writes if rows <= manages) == 99


async def test_an_import_that_has_finished_writes_nothing_and_waits_for_the_publishing(
    store: SqliteMemberships, watcher: RecordingWatcher
) -> None:
    first = await importing(store, users(4), watcher).run()
    target = SmallTarget(store, [DeadError()])
    assert await importing(store, users(4), watcher, target=target).run() == first
    assert target.settled
    assert watcher.settled == 2


async def test_an_import_begins_again_where_that_is_wanted(store: SqliteMemberships, watcher: RecordingWatcher) -> None:
    await importing(store, users(4), watcher).run()
    tally = await importing(store, users(4), watcher).run(restart=True)
    assert (tally.new, tally.present) == (0, 4)


@pytest.mark.parametrize("identity", ["file-2", None])
async def test_another_file_and_a_stream_begin_at_the_beginning(
    store: SqliteMemberships, watcher: RecordingWatcher, identity: str | None
) -> None:
    await importing(store, users(4), watcher, identity=identity and "file-1").run()
    tally = await importing(store, users(4), watcher, identity=identity).run()
    assert (tally.lines, tally.present) == (4, 4)


async def test_channels_and_memberships_of_one_file_have_progress_of_their_own(
    store: SqliteMemberships, watcher: RecordingWatcher
) -> None:
    await importing(store, users(4), watcher).run()
    contents = [msgspec.json.encode({"channel_id": "b", "name": "B", "created_by": "alice"})]
    channels = Importer(ListedRecords(contents), Channels(store.imports, NOW), store.imports, watcher)
    assert (await channels.run()).new == 1


async def test_a_store_that_is_away_for_a_moment_is_waited_for(
    store: SqliteMemberships, watcher: RecordingWatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "FIRST_DELAY_S", 0.0)
    target = SmallTarget(store, [AWAY, AWAY])
    tally = await importing(store, users(4), watcher, target=target).run()
    assert (tally.new + tally.present, await members(store)) == (4, [f"user-{number:02}" for number in range(4)])


async def test_a_store_that_stays_away_ends_the_import_which_can_go_on(
    store: SqliteMemberships, watcher: RecordingWatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "FIRST_DELAY_S", 0.0)
    target = SmallTarget(store, [None, *[AWAY] * importer.ATTEMPTS])
    with pytest.raises(Unavailable):
        await importing(store, users(10), watcher, target=target).run()
    again = importing(store, users(10), watcher)
    await again.run()
    assert again._records.started_at == (3, 30)  # type: ignore[attr-defined]


async def test_no_more_is_read_at_once_than_is_written_at_once(
    store: SqliteMemberships, watcher: RecordingWatcher
) -> None:
    one = importing(store, users(50), watcher)
    await one.run()
    assert one._records.most_at_once == 3  # type: ignore[attr-defined]


async def test_a_table_with_other_columns_is_refused_before_its_rows(
    store: SqliteMemberships, watcher: RecordingWatcher
) -> None:
    with pytest.raises(ImportStopped, match="lacks columns: user_id"):
        await importing(store, users(1), watcher, fields=["channel_id"], skip=True).run()
    assert await members(store) == []
