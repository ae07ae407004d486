"""The identity of a file, and errors that name it."""

import errno
import os
from pathlib import Path

import pytest

from fanout.errors import FanoutError
from services.adapters.files.opening import identity_of, naming


def identity(path: Path) -> str:
    with path.open("rb") as file:
        return identity_of(file)


def test_the_first_bytes_the_size_and_the_time_of_a_file_tell_it_from_others(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_bytes(b"a" * 100)
    os.utime(path, ns=(1, 1))
    first = identity(path)
    assert identity(path) == first
    for data, changed in [(b"a" * 101, 1), (b"b" * 100, 1), (b"a" * 100, 2)]:
        path.write_bytes(data)
        os.utime(path, ns=(1, changed))
        assert identity(path) != first


def test_where_the_file_is_read_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_bytes(b"abc")
    with path.open("rb") as file:
        before = identity_of(file)
        file.read()
        assert identity_of(file) == before


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.EACCES, "Permission denied"), "rows cannot be read: Permission denied"),
        (EOFError("too short"), "rows is damaged: too short"),
    ],
)
def test_errors_name_the_file(error: Exception, text: str) -> None:
    with pytest.raises(FanoutError, match=text), naming(Path("rows"), EOFError):
        raise error


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), naming(Path("rows"), EOFError):
        raise KeyError
