"""`fanout listen --resume FILE` begins where it was."""

from pathlib import Path

import pytest

from fanout.client import ResumePoint
from services.cli.rest import ClientError
from services.cli.resume_file import ResumeFile

POINT = ResumePoint(5, {3: 7}, "log")


def test_it_begins_with_a_new_device_and_keeps_it(tmp_path: Path) -> None:
    first = ResumeFile(tmp_path / "at", "alice")
    assert first.point is None
    first.save(POINT)
    second = ResumeFile(tmp_path / "at", "alice")
    assert (second.device_id, second.point) == (first.device_id, POINT)
    assert [path.name for path in tmp_path.iterdir()] == ["at"]


def test_it_is_written_once_a_second(tmp_path: Path) -> None:
    times = iter((100.0, 100.5, 101.1))
    kept = ResumeFile(tmp_path / "at", "alice", lambda: next(times))
    points = []
    for seq in range(3):
        kept.save_soon(ResumePoint(seq))
        points.append(ResumeFile(tmp_path / "at", "alice").point)
    assert points == [ResumePoint(0), ResumePoint(0), ResumePoint(2)]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"user_id":"alice","device_id":"mine"}', b"\xff"])
def test_another_file_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "at").write_bytes(content)
    with pytest.raises(ClientError, match="is not a file of"):
        ResumeFile(tmp_path / "at", "alice")
    assert (tmp_path / "at").read_bytes() == content


def test_the_file_of_another_user_is_refused(tmp_path: Path) -> None:
    ResumeFile(tmp_path / "at", "alice").save(POINT)
    with pytest.raises(ClientError, match="is of the user alice"):
        ResumeFile(tmp_path / "at", "bob")


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    kept = ResumeFile(tmp_path / "missing" / "at", "alice")
    with pytest.raises(ClientError, match="cannot be kept"):
        kept.save(POINT)
