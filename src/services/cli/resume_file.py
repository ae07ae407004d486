"""The file in which `fanout listen --resume` keeps where it was."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from fanout import machine
from fanout.client import ResumePoint
from fanout.ids import check_device_id, check_id, new_device_id
from services.cli.rest import ClientError

SAVE_EVERY_S: Final = 1.0


class _Kept(msgspec.Struct):
    user_id: str
    device_id: str
    point: ResumePoint | None = None

    def __post_init__(self) -> None:
        check_id(self.user_id, "user_id")
        check_device_id(self.device_id)


class ResumeFile:
    """The device and the resume point of the last run.

    Args:
        path: of the file, which need not exist.
        user_id: the user who listens.
        clock: returns seconds that do not step back.

    Raises:
        ClientError: the file cannot be read, is of another user, or another program has written it.

    Attributes:
        device_id: the device that listens; a new one if there is no file.
        point: where to resume; None if there is no file.
    """

    def __init__(self, path: Path, user_id: str, clock: Callable[[], float] = machine.monotonic_s) -> None:
        self._path = path
        self._clock = clock
        kept = _read(path) or _Kept(user_id, new_device_id("desktop"))
        if kept.user_id != user_id:
            raise ClientError(f"{path} is of the user {kept.user_id}: give another file, or none")
        self._user_id = user_id
        self.device_id = kept.device_id
        self.point = kept.point
        self._saved_at: float | None = None

    def save_soon(self, point: ResumePoint | None) -> None:
        """Keep a point, unless one was saved within a second."""
        now = self._clock()
        if self._saved_at is None or now - self._saved_at >= SAVE_EVERY_S:
            self._saved_at = now
            self.save(point)

    def save(self, point: ResumePoint | None) -> None:
        """Keep a point. The file is replaced as a whole.

        Raises:
            ClientError: it cannot be written.
        """
        whole = self._path.with_name(f"{self._path.name}.new")
        try:
            whole.write_bytes(msgspec.json.encode(_Kept(self._user_id, self.device_id, point)))
            whole.replace(self._path)
        except OSError as error:
            raise ClientError(f"the resume point cannot be kept: {error}") from error


def _read(path: Path) -> _Kept | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Kept)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise ClientError(f"{path} is not a file of `fanout listen --resume`: {error}") from error
