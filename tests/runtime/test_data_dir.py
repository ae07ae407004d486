"""The folder of the embedded stores: whose it is, and what is said of one that cannot be used."""

import os
from pathlib import Path

import pytest

from services.runtime.data_dir import check_data_dir, make_data_dir
from services.runtime.settings import ConfigurationError


def refusal(directory: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        check_data_dir(directory)
    (line,) = caught.value.lines
    assert line.startswith("FANOUT_DATA_DIR: ")
    return line


def test_it_is_its_owners_alone(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "b"
    make_data_dir(directory)
    assert directory.stat().st_mode & 0o777 == 0o700
    make_data_dir(directory)


def test_one_that_is_there_keeps_its_rights(tmp_path: Path) -> None:
    directory = tmp_path / "shared"
    directory.mkdir()
    directory.chmod(0o750)
    make_data_dir(directory)
    assert directory.stat().st_mode & 0o777 == 0o750


def test_looking_makes_nothing(tmp_path: Path) -> None:
    check_data_dir(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for directory in (tmp_path / "file", tmp_path / "file" / "data"):
        assert f"{tmp_path / 'file'} is not a directory" in refusal(directory)


def test_one_that_cannot_be_written_is_said_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Asked of the operating system by its answer alone: whoever runs the tests may be allowed everything.
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != tmp_path)
    remedy = "change its permissions, or set another directory"
    assert f"{tmp_path} cannot be written; {remedy}" in refusal(tmp_path / "data")
    with pytest.raises(ConfigurationError):
        make_data_dir(tmp_path / "data")
    assert list(tmp_path.iterdir()) == []
