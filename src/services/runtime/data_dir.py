"""The folder of the embedded stores: made for its owner alone, and refused with the remedy."""

import os
from pathlib import Path
from typing import Final

from services.runtime.settings import ConfigurationError

_MODE: Final = 0o700
_REMEDY: Final = "change its rights, or set another folder"


def make_data_dir(directory: Path) -> None:
    """Make the folder, with its parents, where it is missing.

    Raises:
        ConfigurationError: it cannot be made, or not be written.
    """
    check_data_dir(directory)
    try:
        directory.mkdir(mode=_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise _refused(f"{directory} cannot be made ({error.strerror}); {_REMEDY}") from error


def check_data_dir(directory: Path) -> None:
    """Look whether the folder can be written, or be made where it is missing; nothing is made here.

    Raises:
        ConfigurationError: it cannot.
    """
    absolute = directory.absolute()
    try:
        existing = next(path for path in (absolute, *absolute.parents) if os.path.lexists(path))
        if not existing.is_dir():
            raise _refused(f"{existing} is no folder; set another")
        writable = os.access(existing, os.W_OK | os.X_OK)
    except OSError as error:
        raise _refused(f"{directory} cannot be reached ({error.strerror}); {_REMEDY}") from error
    if not writable:
        raise _refused(f"{existing} cannot be written; {_REMEDY}")


def _refused(why: str) -> ConfigurationError:
    return ConfigurationError([f"FANOUT_DATA_DIR: {why}"])
