"""Shared by the adapters of files: errors with the file's name, and the identity of a file."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from fanout.errors import FanoutError

_HEAD: Final = 1 << 16


@contextmanager
def naming(path: Path, *damage: type[Exception]) -> Iterator[None]:
    """Turn errors into a `FanoutError` that names the file.

    Args:
        path: the file.
        damage: errors, beside those of the operating system, that mean that the file is damaged.
    """
    try:
        yield
    except damage as error:
        raise FanoutError(f"{path} is damaged: {error}") from error
    except OSError as error:
        raise FanoutError(f"{path} cannot be read: {error.strerror or error}") from error


def identity_of(file: BinaryIO) -> str:
    """A text that depends on the size of a file, the time of its last change, and its first bytes."""
    status = os.fstat(file.fileno())
    head = os.pread(file.fileno(), _HEAD, 0)
    return f"{status.st_size}:{status.st_mtime_ns}:{hashlib.sha256(head).hexdigest()}"
