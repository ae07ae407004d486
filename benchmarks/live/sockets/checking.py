"""Whether a socket got what it should: just its frames, whole and in order."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from benchmarks.errors import BenchError
from benchmarks.live.sockets.audience import Due

FINAL_TEXT: Final = 0x81
_SHORT: Final = 126
_LENGTH_BYTES: Final = {126: 2, 127: 8}


class _Message(msgspec.Struct):
    channel_id: str
    text: str


class _Frame(msgspec.Struct):
    type: str
    seq: int
    channel_id: str
    message: _Message


_decoder = msgspec.json.Decoder(_Frame)


def require_exactly(received: bytes, due: Sequence[Due]) -> None:
    """Hold what a socket received against what was due to it.

    Raises:
        BenchError: something is missing, is there twice or out of order, was meant for another, or is no frame; the
            text says what is first.
    """
    frames = payloads(received)
    for at, wanted in enumerate(due):
        if (payload := next(frames, None)) is None:
            raise BenchError(f"of {len(due)} frames {at} came; the first that is missing is {_shown(wanted)}")
        if (found := _event_of(payload)) != wanted:
            raise BenchError(f"frame {at + 1} is {_shown(found)}, where {_shown(wanted)} was due")
    if (payload := next(frames, None)) is not None:
        raise BenchError(f"after all {len(due)} frames that were due came {_shown(_event_of(payload))}")


def payloads(received: bytes) -> Iterator[bytes]:
    """The contents of unmasked text frames, RFC 6455 section 5.2.

    Raises:
        BenchError: these bytes are no such frames, or the last is cut.
    """
    at = 0
    while at < len(received):
        start, end = frame_at(received, at)
        if received[at] != FINAL_TEXT or end > len(received):
            raise BenchError(f"after {at} bytes there is no whole text frame")
        yield received[start:end]
        at = end


def frame_at(received: bytes, at: int) -> tuple[int, int]:
    """Where the content of the frame at a place begins, and where it ends; beyond the bytes if its header is cut."""
    beyond = (len(received) + 1, len(received) + 1)
    if at + 2 > len(received):
        return beyond
    length, start = received[at + 1], at + 2
    if length >= _SHORT:
        start += _LENGTH_BYTES[length]
        if start > len(received):
            return beyond
        length = int.from_bytes(received[at + 2 : start])
    return start, start + length


def _event_of(payload: bytes) -> Due:
    try:
        frame = _decoder.decode(payload)
        number = int(frame.message.text.split(" ", 1)[0])
    except (msgspec.DecodeError, ValueError) as error:
        raise BenchError(f"a frame holds no message: {error}") from error
    if frame.type != "message.new" or frame.seq != number or frame.message.channel_id != frame.channel_id:
        raise BenchError(f"a frame contradicts itself: {payload.decode()}")
    return Due(frame.channel_id, number)


def _shown(event: Due) -> str:
    return f"number {event.number} of {event.channel}"
