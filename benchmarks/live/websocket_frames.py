"""WebSocket frames, RFC 6455 section 5.2: the client's, and those that a server sends it."""

from collections.abc import Iterable, Iterator
from typing import Final

from benchmarks.errors import BenchError

_TEXT: Final = 0x81
"""A whole text message in one frame."""
_MASKED: Final = 0x80
_SHORT: Final = 126
_LENGTH_BYTES: Final = {126: 2, 127: 8}
_NO_MASK: Final = bytes(4)
"""A mask that changes nothing: the protocol wants one from clients."""

Chunk = tuple[int, bytes]
"""When it was read, in nanoseconds, and what."""
Frame = tuple[bytes, int]
"""The payload of a text frame, and when its last byte was read."""


def client_frame(payload: bytes) -> bytes:
    """A client's text frame of less than 64 KiB."""
    length = len(payload)
    size = bytes([_MASKED | length]) if length < _SHORT else bytes([_MASKED | _SHORT]) + length.to_bytes(2)
    return bytes([_TEXT]) + size + _NO_MASK + payload


def frames_in(chunks: Iterable[Chunk]) -> Iterator[Frame]:
    """The text frames that a client read.

    Raises:
        BenchError: the server closed the connection, or the last frame is cut.
    """
    rest = b""
    for moment, data in chunks:
        buffer, at = (rest + data if rest else data), 0
        while (bounds := frame_at(buffer, at)) is not None:
            begin, end = bounds
            if buffer[at] != _TEXT:
                raise BenchError(f"no text frame came, but {buffer[at:end]!r}")
            yield buffer[begin:end], moment
            at = end
        rest = buffer[at:]
    if rest:
        raise BenchError(f"the last frame is cut after {len(rest)} bytes")


def frame_at(buffer: bytes, at: int) -> tuple[int, int] | None:
    """Where the payload of the frame at an index begins and ends; None if it is not all there."""
    begin = at + 2
    if len(buffer) < begin:
        return None
    length = buffer[at + 1]
    if length >= _SHORT:
        width = _LENGTH_BYTES[length]
        length, begin = int.from_bytes(buffer[begin : begin + width]), begin + width
    return (begin, begin + length) if len(buffer) >= begin + length else None
