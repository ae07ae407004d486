"""Identifiers: the caller's, checked at every edge, and the platform's, which sort by time.

Contract section 1. An id becomes a NATS token and a part of a Redis key, so no other character may pass.
"""

import os
import re
import threading
import time
from typing import Final

from fanout.errors import InvalidId

MAX_ID_LENGTH: Final = 128

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_ULID = r"[0-7][0-9A-HJKMNP-TV-Z]{25}"
_UUID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
_DEVICE = re.compile(rf"dev_(ios|android|web|desktop)_(?:{_ULID}|{_UUID})")
_MESSAGE = re.compile(rf"msg_{_ULID}")
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_BITS: Final = 80
_ULID_LENGTH: Final = 26
_PAIRS: Final = [first + second for first in _CROCKFORD for second in _CROCKFORD]
"""Two characters of a ULID at a time: an id is made for every message."""
_PAIR_MASK: Final = len(_PAIRS) - 1
_PAIR_SHIFTS: Final = tuple(range(5 * (_ULID_LENGTH - 2), -1, -10))


def check_id(value: str, what: str) -> str:
    """Return `value` if it is an id the caller may choose.

    Args:
        value: the candidate.
        what: the field's name, for the error's text.

    Raises:
        InvalidId: it is empty, longer than 128 characters, or has a character outside `[A-Za-z0-9_-]`.
    """
    if not _ID.fullmatch(value):
        raise InvalidId(f"{what} must be 1 to {MAX_ID_LENGTH} characters of A-Z, a-z, 0-9, '_' or '-'")
    return value


def check_device_id(value: str) -> str:
    """Return `value` if it is `dev_{platform}_{ULID or UUID}`.

    Raises:
        InvalidId: it is not.
    """
    if not _DEVICE.fullmatch(value):
        raise InvalidId("device_id must be dev_{ios|android|web|desktop}_{ULID or UUID}")
    return value


def check_message_id(value: str, what: str = "message_id") -> str:
    """Return `value` if it is `msg_` and a ULID.

    Raises:
        InvalidId: it is not.
    """
    if not _MESSAGE.fullmatch(value):
        raise InvalidId(f"{what} must be msg_ followed by a ULID")
    return value


class UlidFactory:
    """Makes ULIDs that strictly increase within the process, whatever the clock does.

    Within one millisecond, and when the clock steps back, the random part counts up by one
    (https://github.com/ulid/spec, "Monotonicity"). Safe from any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def __call__(self) -> str:
        """The next ULID: 26 characters of Crockford's base 32."""
        fresh = (time.time_ns() // 1_000_000) << _RANDOM_BITS | int.from_bytes(os.urandom(10))
        with self._lock:
            same_or_earlier = fresh >> _RANDOM_BITS <= self._last >> _RANDOM_BITS
            self._last = self._last + 1 if same_or_earlier else fresh
            value = self._last
        return _encode(value)


def _encode(value: int) -> str:
    return "".join([_PAIRS[value >> shift & _PAIR_MASK] for shift in _PAIR_SHIFTS])


new_ulid: Final = UlidFactory()


def new_message_id() -> str:
    """A fresh `msg_` id."""
    return f"msg_{new_ulid()}"


def new_event_id() -> str:
    """A fresh `evt_` id."""
    return f"evt_{new_ulid()}"


def new_membership_id() -> str:
    """A fresh `mem_` id."""
    return f"mem_{new_ulid()}"


def new_session_id() -> str:
    """A fresh `sess_` id."""
    return f"sess_{new_ulid()}"


def new_device_id(platform: str = "desktop") -> str:
    """A fresh device id for `platform`."""
    return f"dev_{platform}_{new_ulid()}"
