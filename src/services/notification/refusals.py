"""Refusals of clients whose session is not opened. The close codes are in `fanout.error_codes`."""

from typing import Final

from fanout import machine
from fanout.error_codes import CloseCode

SOONEST_RETRY_MS: Final = 1_000
LATEST_RETRY_MS: Final = 5_000


class Refused(Exception):  # noqa: N818 - it says what became of the client
    """The client is not admitted, and its connection is closed.

    Args:
        code: of the close frame.
        reason: of the close frame.
        cause: one word for the metrics.
    """

    def __init__(self, code: CloseCode, reason: str, cause: str) -> None:
        super().__init__(reason)
        self.code = code
        self.cause = cause


def not_now(why: str, cause: str) -> Refused:
    """Refuse a client that may come again: 1013, with a random time to wait, so that they do not all return at once.

    Args:
        why: the reason, in words.
        cause: one word for the metrics.
    """
    wait = SOONEST_RETRY_MS + machine.random_below(LATEST_RETRY_MS - SOONEST_RETRY_MS + 1)
    return Refused(CloseCode.TRY_AGAIN_LATER, f"{why}; retry_after_ms={wait}", cause)
