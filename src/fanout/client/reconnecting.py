"""Whether and when a client connects again after its connection has ended."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fanout import machine
from fanout.client.errors import (
    DeviceDeregistered,
    DeviceReplaced,
    ProtocolViolation,
    SessionEnded,
    TokenRefused,
)
from fanout.error_codes import CloseCode

LONGEST_WAIT_S: Final = 300.0
"""The longest time that a server can tell a client to wait."""

_RETRY_AFTER = re.compile(r"retry_after_ms=(\d{1,9})\b")
_DEREGISTERED: Final = "deregistered"
_TOKEN_CODES: Final = "token_"  # noqa: S105 - how the codes of token errors begin


@dataclass(frozen=True)
class Closing:
    """How a connection, or the attempt to make one, has ended."""

    code: int | None
    """The close code of the server; None if the connection broke or none was made."""
    reason: str

    @property
    def retry_after_s(self) -> float | None:
        """Seconds after which the server asks the client to come again; None if it does not say."""
        told = _RETRY_AFTER.search(self.reason)
        return min(int(told.group(1)) / 1000, LONGEST_WAIT_S) if told else None

    @property
    def text(self) -> str:
        """The reason for people, without what only a program needs."""
        return self.reason.partition(";")[0] or "the connection broke"

    def refuses_token(self, *, was_open: bool) -> bool:
        """Whether the server wants another token. A client that was merely too slow to send it may send it again.

        Args:
            was_open: whether the connection had its `auth.ok`.
        """
        return self.code == CloseCode.UNAUTHENTICATED and (was_open or self.reason.startswith(_TOKEN_CODES))

    def final_error(self) -> SessionEnded | None:
        """The error of a client that must not connect again; None if it may."""
        if self.code == CloseCode.REPLACED:
            if _DEREGISTERED in self.reason:
                return DeviceDeregistered("this device was deregistered", self.code)
            return DeviceReplaced("this device was replaced by a newer connection", self.code)
        if self.code == CloseCode.MALFORMED:
            return ProtocolViolation(f"the server cannot read a frame of this client: {self.text}", self.code)
        return None

    def token_error(self) -> TokenRefused:
        """The error of a client that has no other token."""
        return TokenRefused(f"the server refused the token: {self.text}", self.code)


@dataclass(frozen=True)
class Delays:
    """How long a client waits before it connects again."""

    first_s: float = 0.5
    """The longest wait after the first failure; it doubles with each further one."""
    longest_s: float = 30.0

    def bound_s(self, failures: int) -> float:
        """The longest wait after a number of failures in a row."""
        return min(self.longest_s, self.first_s * 2.0 ** min(failures, 30))


class Backoff:
    """Chooses the time until the next attempt at random, so that not all clients of an instance come at once.

    Args:
        delays: the bounds.
        random: returns a random number from 0 to below 1.
    """

    def __init__(self, delays: Delays, random: Callable[[], float] = machine.random_share) -> None:
        self._delays = delays
        self._random = random
        self._failures = 0
        self._spread_s: float | None = None

    def spread(self, reconnect_after_ms: int | None) -> None:
        """Note what `auth.ok` says of the first attempt after this connection."""
        self._spread_s = None if reconnect_after_ms is None else min(reconnect_after_ms / 1000, LONGEST_WAIT_S)

    def settle(self) -> None:
        """Begin at the shortest wait again: the connection works."""
        self._failures = 0

    def next_delay_s(self, closing: Closing) -> float:
        """Seconds until the next attempt."""
        failures, self._failures = self._failures, self._failures + 1
        spread_s, self._spread_s = self._spread_s, None
        if closing.retry_after_s is not None:
            return closing.retry_after_s  # the server has chosen it at random
        bound_s = self._delays.bound_s(failures) if spread_s is None else spread_s
        return bound_s * self._random()
