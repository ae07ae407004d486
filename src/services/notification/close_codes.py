"""Close codes of the contract, section 3, and the refusals that use them."""

import random
from typing import Final

MALFORMED: Final = 4400
UNAUTHENTICATED: Final = 4401
HEARTBEAT_TIMEOUT: Final = 4408
REPLACED: Final = 4409
SLOW_CONSUMER: Final = 4413
INTERNAL_ERROR: Final = 1011
DRAINING: Final = 1012
TRY_AGAIN_LATER: Final = 1013

SOONEST_RETRY_MS: Final = 1_000
LATEST_RETRY_MS: Final = 5_000


class Refused(Exception):  # noqa: N818 - it says what became of the client
    """A client that is not admitted; its connection is closed.

    Args:
        code: of the close frame.
        reason: of the close frame.
        cause: one word for the figures.
    """

    def __init__(self, code: int, reason: str, cause: str) -> None:
        super().__init__(reason)
        self.code = code
        self.cause = cause


def not_now(why: str, cause: str) -> Refused:
    """The refusal of a client that may come again: 1013, with the time to wait, which spreads those that return.

    Args:
        why: in words.
        cause: one word for the figures.
    """
    wait = random.randint(SOONEST_RETRY_MS, LATEST_RETRY_MS)  # noqa: S311 - spreads load, guards nothing
    return Refused(TRY_AGAIN_LATER, f"{why}; retry_after_ms={wait}", cause)
