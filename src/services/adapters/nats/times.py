"""Times as the server writes them: RFC 3339 with nanoseconds."""

from datetime import UTC, datetime
from typing import Final

_SECOND: Final = 1_000_000_000
_DIGITS: Final = 9


def nanoseconds(text: str) -> int:
    """Nanoseconds since 1970 of a time in UTC, as in `2026-01-02T03:04:05.123456789Z`.

    Raises:
        ValueError: the text is not such a time.
    """
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    whole = int(datetime.fromisoformat(seconds).replace(tzinfo=UTC).timestamp())
    return whole * _SECOND + int(fraction.ljust(_DIGITS, "0")[:_DIGITS])


def text_of(stored_ns: int) -> str:
    """The time as the server reads it."""
    whole, fraction = divmod(stored_ns, _SECOND)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:0{_DIGITS}d}Z"
