"""Where messages of NATS and frames of WebSockets begin and end in a stream of bytes. Nothing here knows a socket."""

import os
from enum import IntEnum
from typing import NamedTuple

_CRLF = b"\r\n"
_WITH_PAYLOAD = (b"MSG ", b"HMSG ")

_FINAL = 0x80
_MASKED = 0x80
_TWO_BYTES = 126
_EIGHT_BYTES = 127


class NatsFrame(NamedTuple):
    """One operation of the NATS protocol, as a server sends it to a client."""

    line: bytes
    """Its first line, without the end of line."""
    payload: bytes
    """What follows, headers included; nothing for operations that have no payload."""
    raw: bytes
    """All of it, as it came."""

    @property
    def subject(self) -> bytes:
        """Of a message; nothing for other operations."""
        return self.line.split(b" ", 2)[1] if self.line.startswith(_WITH_PAYLOAD) else b""


class NatsFrames:
    """Cuts what a NATS server sends, in pieces of any length, into operations."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[NatsFrame]:
        """The operations that are whole with these bytes."""
        frames, data, at = [], self._rest + data, 0
        while (frame := _nats_frame(data, at)) is not None:
            frames.append(frame)
            at += len(frame.raw)
        self._rest = data[at:]
        return frames


def _nats_frame(data: bytes, start: int) -> NatsFrame | None:
    end_of_line = data.find(_CRLF, start)
    if end_of_line < 0:
        return None
    line, begin = data[start:end_of_line], end_of_line + len(_CRLF)
    if not line.startswith(_WITH_PAYLOAD):
        return NatsFrame(line, b"", data[start:begin])
    end = begin + int(line[line.rindex(b" ") :])
    if len(data) < end + len(_CRLF):
        return None
    return NatsFrame(line, data[begin:end], data[start : end + len(_CRLF)])


class Opcode(IntEnum):
    """RFC 6455 section 5.2."""

    TEXT = 1
    CLOSE = 8
    PING = 9
    PONG = 10


class WebSocketFrames:
    """Cuts what a WebSocket server sends, in pieces of any length, into frames; none may be fragmented."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The opcode and the payload of each frame that is whole with these bytes."""
        frames, data, at = [], self._rest + data, 0
        while (bounds := _payload_bounds(data, at)) is not None:
            begin, end = bounds
            if not data[at] & _FINAL:
                raise ValueError("a fragmented frame")
            frames.append((data[at] & 0x0F, data[begin:end]))
            at = end
        self._rest = data[at:]
        return frames


def _payload_bounds(data: bytes, at: int) -> tuple[int, int] | None:
    if len(data) < at + 2:
        return None
    length, begin = data[at + 1], at + 2
    if length >= _TWO_BYTES:
        width = 8 if length == _EIGHT_BYTES else 2
        if len(data) < begin + width:
            return None
        length, begin = int.from_bytes(data[begin : begin + width]), begin + width
    return None if len(data) < begin + length else (begin, begin + length)


def client_frame(opcode: Opcode, payload: bytes) -> bytes:
    """A frame as clients send it: masked."""
    head = bytes([_FINAL | opcode])
    if len(payload) < _TWO_BYTES:
        head += bytes([_MASKED | len(payload)])
    else:
        head += bytes([_MASKED | _TWO_BYTES]) + len(payload).to_bytes(2)
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[number % 4] for number, byte in enumerate(payload))
