"""A worker that begins with a snapshot holds what is true now, and asks the stores for nothing that it has."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from fanout import Engine, Unavailable
from fanout.events import timestamp
from fanout.ports.log import Log, StoredEvent
from fanout.ports.memberships import Memberships
from fanout.streams import META
from services.adapters.embedded.log import EmbeddedLog
from services.fan_out import liveness
from services.fan_out.snapshots import OLDEST_S, Snapshots
from services.fan_out.worker import FanOutWorker
from tests.support.harness import Harness, running_harness
from tests.support.observing import until


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    async with running_harness(tmp_path) as built:
        yield built


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table.snapshot"


class CountedMemberships:
    """A view of a store that knows whom it was asked for."""

    def __init__(self, memberships: Memberships) -> None:
        self._memberships = memberships
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._memberships, name)

    async def packed_channels_of(self, user_id: str) -> bytes:
        self.asked.append(user_id)
        return await self._memberships.packed_channels_of(user_id)


def _tear(path: Path) -> bytes:
    """Take the last byte of a file; the rest of it."""
    torn = path.read_bytes()[:-1]
    path.write_bytes(torn)
    return torn


async def _restart(harness: Harness, path: Path) -> tuple[FanOutWorker, CountedMemberships]:
    """Start a worker that may read the snapshot, beside those that were stopped."""
    memberships = CountedMemberships(harness.memberships)
    worker = await harness.add_worker(
        f"worker-{len(harness.workers) + 1}",
        memberships=cast("Memberships", memberships),
        snapshots=Snapshots(path, harness.log),
    )
    return worker, memberships


async def test_a_restarted_worker_has_the_lists_of_now_and_asks_for_none(harness: Harness, path: Path) -> None:
    await harness.create("general", "alice", "bob")
    await harness.create("late", "owner")
    first, asked_first = await _restart(harness, path)
    instance = await harness.add_instance("notif-1")
    alice, bob = [await harness.connect(instance, user) for user in ("alice", "bob")]
    await first.stop()
    await harness.join("late", "alice")
    await harness.leave("general", "bob")
    await harness.join("late", "bob")
    await harness.leave("late", "bob")
    second, asked_second = await _restart(harness, path)
    assert second.users_on("notif-1") == ["alice", "bob"]
    await until(lambda: bool(alice.of_type("member.joined") and bob.of_type("member.left")), "their instance knows too")
    await harness.say("late", "to alice alone")
    await harness.say("general", "and this")
    await until(lambda: sorted(alice.texts()) == ["and this", "to alice alone"], "alice reads both")
    assert (bob.texts(), sorted(asked_first.asked), asked_second.asked) == ([], ["alice", "bob"], [])
    await second.stop()
    table = Engine.restore(path)
    assert table.channels("alice") == {"general", "late"}
    assert table.channels("bob") == set()


async def test_a_change_that_is_published_late_undoes_nothing_that_the_snapshot_has(
    harness: Harness, path: Path
) -> None:
    await harness.create("general", "alice")
    first, _ = await _restart(harness, path)
    instance = await harness.add_instance("notif-1")
    await harness.connect(instance, "bob")
    joined = await harness.memberships.add("general", ["bob"], timestamp())
    await harness.leave("general", "bob")
    await until(lambda: first._members.position == 1)
    await first.stop()
    await harness._publisher._publish_and_mark(joined)
    second, _ = await _restart(harness, path)
    await until(lambda: second._members.position == 2)
    assert second._engine.channels("bob") == frozenset()


async def test_instances_that_died_meanwhile_go(harness: Harness, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "INSTANCE_SILENT_AFTER_S", 0.3)
    await harness.create("general", "alice")
    first, _ = await _restart(harness, path)
    instance = await harness.add_instance("notif-1")
    await harness.connect(instance, "alice")
    await first.stop()
    await harness.cut_off("notif-1")
    second, _ = await _restart(harness, path)
    await until(lambda: second.users_on("notif-1") == [], "evicted")


async def test_users_that_moved_meanwhile_are_where_they_are(harness: Harness, path: Path) -> None:
    await harness.create("general", "alice", "bob")
    first, _ = await _restart(harness, path)
    instances = [await harness.add_instance(name) for name in ("notif-1", "notif-2")]
    alice = await harness.connect(instances[0], "alice")
    await harness.connect(instances[0], "bob")
    await first.stop()
    alice.hang_up()
    await until(lambda: instances[0].registry.users() == ["bob"], "alice left")
    second, memberships = await _restart(harness, path)
    moved = await harness.connect(instances[1], "alice")
    assert (second.users_on("notif-1"), second.users_on("notif-2")) == (["bob"], ["alice"])
    await harness.say("general", "hello")
    await until(lambda: moved.texts() == ["hello"])
    assert memberships.asked == []


async def test_a_torn_snapshot_is_put_aside_and_the_stores_are_asked(harness: Harness, path: Path) -> None:
    await harness.create("general", "alice")
    first, _ = await _restart(harness, path)
    instance = await harness.add_instance("notif-1")
    alice = await harness.connect(instance, "alice")
    await first.stop()
    torn = _tear(path)
    with capture_logs() as logs:
        second, memberships = await _restart(harness, path)
    assert [entry["reason"] for entry in logs if entry["event"] == "snapshot is refused"] == [
        "the snapshot is refused: cut"
    ]
    assert path.with_name(f"{path.name}.refused").read_bytes() == torn
    await harness.say("general", "hello")
    await until(lambda: alice.texts() == ["hello"])
    assert memberships.asked == ["alice"]
    await second.stop()
    assert Engine.restore(path).users("notif-1") == ["alice"]


async def test_a_snapshot_is_written_now_and_then(harness: Harness, path: Path) -> None:
    await harness.create("general", "alice")
    await harness.add_worker("worker-1", snapshots=Snapshots(path, harness.log, every_s=0.01))
    instance = await harness.add_instance("notif-1")
    await harness.connect(instance, "alice")
    await until(lambda: path.exists() and Engine.restore(path).users("notif-1") == ["alice"], "it is in a snapshot")


async def test_a_worker_goes_on_where_no_snapshot_can_be_written(harness: Harness, path: Path) -> None:
    failed = _failed_snapshots()
    with capture_logs() as logs:
        worker = await harness.add_worker(
            "worker-1", snapshots=Snapshots(path / "no-folder", harness.log, every_s=0.01)
        )
        await until(lambda: any(entry["event"] == "snapshot cannot be written" for entry in logs), "it was tried")
    await worker.check_ready()
    assert _failed_snapshots() > failed


def _failed_snapshots() -> float:
    return REGISTRY.get_sample_value("fanout_snapshots_failed_total") or 0.0


async def test_a_worker_is_drained_without_a_snapshot_while_the_log_is_away(harness: Harness, path: Path) -> None:
    log = Forgetful(harness.log)
    worker = await harness.add_worker("worker-1", snapshots=Snapshots(path, cast("Log", log)))
    log.away = True
    await worker.stop()
    assert list(path.parent.glob("*table*")) == []


class Forgetful:
    """A view of a log that holds no event up to `forgotten` any more, and gives none while it is `away`."""

    def __init__(self, events: Log) -> None:
        self._log = events
        self.forgotten = 0
        self.away = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def get(self, stream: str, seq: int) -> StoredEvent | None:
        if self.away:
            raise Unavailable("it is away")
        return None if seq <= self.forgotten else await self._log.get(stream, seq)


async def _reason(snapshots: Snapshots) -> str | None:
    """Why a snapshot is not used; None where it is."""
    with capture_logs() as logs:
        restored = await snapshots.restore()
    reasons = [str(entry["reason"]) for entry in logs if entry["event"] == "snapshot is not used"]
    assert (restored is None) == bool(reasons)
    return reasons[0] if reasons else None


async def test_a_snapshot_is_used_while_the_log_holds_what_happened_since(harness: Harness, path: Path) -> None:
    await harness.create("general", "owner")
    for user in ("alice", "bob", "carol"):
        await harness.join("general", user)
    log = Forgetful(harness.log)
    snapshots = Snapshots(path, cast("Log", log))
    await snapshots.write(Engine(), 2)
    assert await _reason(snapshots) is None
    log.forgotten = 2
    assert await _reason(snapshots) is None
    log.forgotten = 3
    assert await _reason(snapshots) == "the log no longer holds the membership changes since"
    await snapshots.write(Engine(), 3)
    assert await _reason(snapshots) is None, "nothing happened since"


async def test_a_snapshot_of_another_log_is_not_used(harness: Harness, path: Path) -> None:
    await harness.create("general", "owner")
    for user in ("alice", "bob"):
        await harness.join("general", user)
    await Snapshots(path, harness.log).write(Engine(), 2)
    other = await EmbeddedLog.open(None)
    try:
        assert await _reason(Snapshots(path, other)) == "it is of another log"
        for number in range(3):
            await other.append("channels.member.joined.c", b"{}", msg_id=str(number))
        assert await other.last_seq(META) == 3
        assert await _reason(Snapshots(path, other)) == "it is of another log"
    finally:
        await other.close()


@pytest.mark.parametrize(("later", "used"), [(OLDEST_S, True), (OLDEST_S + 1, False), (-1.0, False)])
async def test_a_snapshot_has_an_age(harness: Harness, path: Path, later: float, *, used: bool) -> None:
    await Snapshots(path, harness.log, clock=lambda: 5_000.0).write(Engine(), 0)
    reason = await _reason(Snapshots(path, harness.log, clock=lambda: 5_000.0 + later))
    assert reason == (None if used else "it is too old, or from the future")


async def test_a_snapshot_of_somebody_else_is_refused(harness: Harness, path: Path) -> None:
    Engine().snapshot(path, b"somebody else's note")
    assert await Snapshots(path, harness.log).restore() is None
    assert [file.name for file in path.parent.glob("table*")] == ["table.snapshot.refused"]
