import errno
import os
import resource
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fanout import Engine, FanoutError, SnapshotRefused

LONG_LIST = [f"channel-{number}" for number in range(20_000)]


@pytest.fixture
def engine() -> Engine:
    engine = Engine()
    engine.user_online("ann", "i1", ["general", "random"])
    engine.user_online("ann", "i2")
    engine.user_online("ben", "i1", ["general"])
    engine.user_offline("ben", "i1")
    return engine


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table.snapshot"


def test_what_was_written_is_read(engine: Engine, path: Path) -> None:
    assert engine.snapshot(path) == path.stat().st_size
    restored = Engine.restore(path)
    assert restored.members("general") == {"i1": ["ann"], "i2": ["ann"]}
    assert restored.user_online("ben", "i3") == 1
    assert restored.digest("i2") == engine.digest("i2")


def test_the_note_comes_back(engine: Engine, path: Path) -> None:
    assert engine.snapshot_note == b""
    engine.snapshot(path, note=b"position 7")
    assert Engine.restore(path).snapshot_note == b"position 7"
    assert engine.snapshot_note == b""


def test_a_path_may_be_a_string_and_relative(engine: Engine, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    engine.snapshot(path.name)
    assert Engine.restore(path.name).stats()["users"] == 1
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_batches_and_lanes_are_not_in_it(engine: Engine, path: Path) -> None:
    engine.open_lane(1, 1, 0)
    engine.route("general", b"{}")
    engine.snapshot(path)
    restored = Engine.restore(path)
    assert restored.drain(force=True) == []
    with pytest.raises(LookupError):
        restored.advance(1, 5)


def test_a_restored_engine_has_settings_of_its_own(engine: Engine, path: Path) -> None:
    engine.snapshot(path)
    assert Engine.restore(path, cache_users=0).stats()["cached_users"] == 0
    with pytest.raises(LookupError):
        Engine.restore(path, cache_ttl=0).user_online("ben", "i1")
    with pytest.raises(ValueError, match="flush_events"):
        Engine.restore(path, flush_events=0)


def test_only_the_owner_may_read_it(engine: Engine, path: Path) -> None:
    path.touch(0o644)
    engine.snapshot(path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_cut_anywhere_is_refused(engine: Engine, path: Path) -> None:
    engine.snapshot(path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(SnapshotRefused, match="cut"):
            Engine.restore(path)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda whole: b"SQLite format 3" + whole, "not a snapshot"),
        (lambda whole: whole[:8] + b"\x07\0\0\0" + whole[12:], "version 7, this build reads 1"),
        (lambda whole: whole.replace(b"general", b"genaral"), "checksum differs"),
        (lambda whole: whole + b"\n", "cut"),
    ],
)
def test_the_refusal_says_why(engine: Engine, path: Path, spoil: Callable[[bytes], bytes], reason: str) -> None:
    engine.snapshot(path)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(SnapshotRefused, match=reason) as refusal:
        Engine.restore(path)
    assert isinstance(refusal.value, FanoutError)
    assert isinstance(refusal.value, ValueError)


def test_a_missing_file_is_an_error_of_the_system(path: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        Engine.restore(path)
    assert (missing.value.errno, missing.value.filename) == (errno.ENOENT, str(path))
    assert missing.value.strerror == os.strerror(errno.ENOENT)


def test_a_write_that_fails_is_an_error_of_the_system_and_leaves_nothing(engine: Engine, path: Path) -> None:
    path.mkdir()
    with pytest.raises(IsADirectoryError) as failed:
        engine.snapshot(path)
    assert failed.value.filename == str(path)
    with pytest.raises(FileNotFoundError):
        engine.snapshot(path / "no-folder" / "table")
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_full_disk_leaves_the_former_file(engine: Engine, path: Path) -> None:
    engine.snapshot(path, note=b"former")
    engine.user_online("cat", "i1", LONG_LIST)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, limits[1]))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            engine.snapshot(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert Engine.restore(path).snapshot_note == b"former"
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_what_a_killed_process_left_is_removed_and_never_read(engine: Engine, path: Path) -> None:
    engine.snapshot(path)
    left = path.with_name(f".{path.name}.{0xBAD:016x}.part")
    left.write_bytes(path.read_bytes()[:50])
    assert Engine.restore(path).stats()["users"] == 1
    engine.snapshot(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("path", [7, None, b"bytes"])
def test_a_path_is_a_path(engine: Engine, path: object) -> None:
    with pytest.raises(TypeError):
        engine.snapshot(path)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Engine.restore(path)  # type: ignore[arg-type]


def test_others_go_on_while_a_snapshot_is_written(engine: Engine, path: Path) -> None:
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            engine.user_online("cat", "i1", LONG_LIST)
            engine.user_offline("cat", "i1")
            engine.forget("cat")

    visitor = threading.Thread(target=come_and_go)
    visitor.start()
    try:
        for _ in range(20):
            engine.snapshot(path)
            restored = Engine.restore(path)
            assert restored.channels("ann") == {"general", "random"}
            assert restored.channels("cat") in (set(), set(LONG_LIST))
    finally:
        stop.set()
        visitor.join()
