"""The data directory: created for its owner alone; errors name the remedy."""

import os
from pathlib import Path
from typing import Final

from services.runtime.settings import ConfigurationError

_MODE: Final = 0o700
_REMEDY: Final = "change its permissions, or set another directory"


def make_data_dir(directory: Path) -> None:
    """Create the directory and its parents, if they are missing.

    Raises:
        ConfigurationError: it cannot be created or written.
    """
    check_data_dir(directory)
    try:
        directory.mkdir(mode=_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise _refused(f"{directory} cannot be created ({error.strerror}); {_REMEDY}") from error


def check_data_dir(directory: Path) -> None:
    """Check that the directory can be written, or created if it is missing. This creates nothing.

    Raises:
        ConfigurationError: it cannot.
    """
    absolute = directory.absolute()
    try:
        existing = next(path for path in (absolute, *absolute.parents) if os.path.lexists(path))
        if not existing.is_dir():
            raise _refused(f"{existing} is not a directory; set another one")
        writable = os.access(existing, os.W_OK | os.X_OK)
    except OSError as error:
        raise _refused(f"{directory} cannot be reached ({error.strerror}); {_REMEDY}") from error
    if not writable:
        raise _refused(f"{existing} cannot be written; {_REMEDY}")


def _refused(why: str) -> ConfigurationError:
    return ConfigurationError([f"FANOUT_DATA_DIR: {why}"])
