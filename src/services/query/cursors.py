"""Cursors: signed positions of the next page. Each is valid only for one user, call, and channel or thread."""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final, Literal, NamedTuple

from fanout.error_codes import BAD_CURSOR
from fanout.errors import CallRejected
from fanout.ports.messages import Messages, Position

Direction = Literal["before", "after"]

_SIGNATURE_BYTES: Final = 16
_DIRECTIONS: Final[dict[str, Direction]] = {"b": "before", "a": "after"}


class Start(NamedTuple):
    """The beginning and the direction of a page."""

    direction: Direction
    position: Position | None
    """None: the end that `direction` comes from."""
    gap_after: int | None = None
    """The pages before may miss messages above this `seq`, which the writer stores late; None: they miss none."""


class Scope(NamedTuple):
    """The user, call, and channel or thread for which a cursor is valid."""

    user_id: str
    call: str
    about: str
    """The channel or thread."""


class Cursors:
    """Gives cursors, and reads those that it gave.

    The message store keeps the key. So every gateway on the same store has it, and no change of a setting makes a
    cursor invalid.

    Args:
        messages: keeps the key.
    """

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._key: bytes | None = None

    async def give(self, scope: Scope, direction: Direction, position: Position, gap_after: int | None = None) -> str:
        """The cursor for the page that follows `position`; see `Start`.

        Raises:
            Unavailable: the store cannot be asked for its key.
        """
        gap = "" if gap_after is None else f".{gap_after}"
        payload = f"{direction[0]}{position.seq}.{position.message_id}{gap}".encode()
        return urlsafe_b64encode(await self._signature(scope, payload) + payload).decode().rstrip("=")

    async def take(self, scope: Scope, cursor: str) -> Start:
        """Check a cursor, and return where its page begins.

        Raises:
            CallRejected: it is no cursor that was given for this scope.
            Unavailable: the store cannot be asked for its key.
        """
        try:
            decoded = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        except ValueError as error:
            raise CallRejected(BAD_CURSOR) from error
        signature, payload = decoded[:_SIGNATURE_BYTES], decoded[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, await self._signature(scope, payload)):
            raise CallRejected(BAD_CURSOR)
        return _decode(payload)

    async def _signature(self, scope: Scope, payload: bytes) -> bytes:
        if self._key is None:
            self._key = await self._messages.cursor_key()
        signed = b"\0".join([*(part.encode() for part in scope), payload])  # no id has a zero byte
        return hmac.digest(self._key, signed, hashlib.sha256)[:_SIGNATURE_BYTES]


def _decode(payload: bytes) -> Start:
    seq, message_id, *gap_after = payload[1:].decode().split(".")
    return Start(_DIRECTIONS[chr(payload[0])], Position(int(seq), message_id), *map(int, gap_after))
