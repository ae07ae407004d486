"""The size of a message that the bus and the streams must take."""

from typing import Final

from fanout.ports.bus import Bus
from services.composition.backends import Found

EVERY_MESSAGE_FITS: Final = 320 * 1024
"""Bytes that the bus and the streams must take for the longest message that REST does."""
LONGER_MESSAGES: Final = (
    f"longer messages of users are refused (413); with at least {EVERY_MESSAGE_FITS:,} all can pass"
)


async def look_at_bus(what: str, bus: Bus) -> Found:
    """Ask a bus for an answer, and say whether its longest message is too short for some messages of users.

    Args:
        what: the technology, for the line of `fanout check`.
        bus: that was opened.

    Raises:
        Unavailable: the bus does not answer.
    """
    await bus.ping()
    good = f"{what}, messages of up to {bus.max_payload:,} bytes"
    if bus.max_payload >= EVERY_MESSAGE_FITS:
        return Found(good)
    return Found(good, (f"the server's max_payload is {bus.max_payload:,} bytes: {LONGER_MESSAGES}",))
