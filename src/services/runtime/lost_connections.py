"""Writes to a connection that the event loop has closed, and whose reader does not know it yet.

Until the reader is told, in one of the next turns of the loop, the client libraries of NATS and Redis take such a
connection for a live one. What a write to it does depends on the loop: asyncio drops the bytes, or raises a `TypeError`
or an `AttributeError` (Python 3.12 and later); uvloop raises a `RuntimeError`. The libraries expect an `OSError`.
"""

import asyncio


class LostConnectionError(ConnectionResetError, RuntimeError):
    """The event loop has closed the connection.

    It is uvloop's `RuntimeError` as well, because nats-py ends some of its tasks by that one.
    """


def live(writer: asyncio.StreamWriter | None) -> asyncio.StreamWriter:
    """The writer of a connection that the loop has not closed. Write at once: after an `await` it may be closed.

    Args:
        writer: None where there never was a connection.

    Raises:
        LostConnectionError: nothing can be written to it any more.
    """
    if writer is None or writer.transport.is_closing():
        raise LostConnectionError("the connection was lost")
    return writer
