"""Reads the answer to `GET /api/v1/realtime.connect`: the WebSocket address, or why there is none."""

from typing import Final

import msgspec

from fanout.client.addresses import INSTANCE, check_address
from fanout.client.errors import InvalidAddress
from fanout.client.reconnecting import Closing
from fanout.error_codes import CloseCode

PATH: Final = "/api/v1/realtime.connect"

_OK: Final = 200
_UNAUTHORIZED: Final = 401


class _Address(msgspec.Struct):
    url: str


class _Problem(msgspec.Struct):
    code: str = ""
    detail: str = ""
    title: str = ""


def address_in(status: int, retry_after: str | None, body: bytes) -> str | Closing:
    """The address to connect to, or how the attempt has ended.

    Args:
        status: of the response.
        retry_after: the header of that name, if there is one.
        body: of the response.
    """
    try:
        if status == _OK:
            return check_address(msgspec.json.decode(body, type=_Address).url, INSTANCE)
        problem = msgspec.json.decode(body, type=_Problem)
    except (msgspec.DecodeError, RecursionError, InvalidAddress):
        return Closing(None, f"the answer to realtime.connect (status {status}) is not from a Fanout gateway")
    if status == _UNAUTHORIZED:
        return Closing(CloseCode.UNAUTHENTICATED, f"{problem.code}: {problem.detail}")
    why = f"{problem.detail or problem.title} ({status} {problem.code})"
    return Closing(None, why + _told_to_wait(retry_after))


def _told_to_wait(retry_after: str | None) -> str:
    """The header `Retry-After`, as the reasons of close frames say it."""
    told = (retry_after or "").strip()
    return f"; retry_after_ms={int(told) * 1000}" if told.isascii() and told.isdigit() and len(told) < 6 else ""  # noqa: PLR2004
