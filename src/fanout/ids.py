"""Identifiers: the caller's, checked at every edge, and the platform's, which sort by time.

Contract section 1. An id becomes a NATS token and a part of a Redis key, so no other character may pass.
"""

import re
from typing import Final

from fanout import machine
from fanout.errors import InvalidId

MAX_ID_LENGTH: Final = 128

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_ULID = r"[0-7][0-9A-HJKMNP-TV-Z]{25}"
_UUID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
_DEVICE = re.compile(rf"dev_(ios|android|web|desktop)_(?:{_ULID}|{_UUID})")
_MESSAGE = re.compile(rf"msg_{_ULID}")


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
    if not is_message_id(value):
        raise InvalidId(f"{what} must be msg_ followed by a ULID")
    return value


def is_message_id(value: str) -> bool:
    """Whether a value is `msg_` and a ULID."""
    return _MESSAGE.fullmatch(value) is not None


def new_ulid() -> str:
    """A fresh ULID, above all those that this process has made: 26 characters of Crockford's base 32."""
    return machine.current().ulids()


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
