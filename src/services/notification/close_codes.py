"""Close codes of the contract, section 3."""

from typing import Final

MALFORMED: Final = 4400
UNAUTHENTICATED: Final = 4401
HEARTBEAT_TIMEOUT: Final = 4408
REPLACED: Final = 4409
SLOW_CONSUMER: Final = 4413
INTERNAL_ERROR: Final = 1011
DRAINING: Final = 1012
TRY_AGAIN_LATER: Final = 1013
