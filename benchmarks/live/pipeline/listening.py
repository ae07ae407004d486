"""The clients: many WebSockets in one process, which stamps what it reads and looks at it after the clock."""

import gc
import os
import select
import socket
import struct
import time
from array import array
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from benchmarks.errors import BenchError
from benchmarks.live.arrivals import check_arrivals
from benchmarks.live.feed import Feed, number_in
from benchmarks.live.parts import Stage
from benchmarks.live.pipeline.audience import Audience, reader_name
from fanout.ids import new_ulid
from services.runtime.tokens import sign

_ANSWER_WITHIN_S: Final = 30.0
_QUIET_S: Final = 1.0
_BLOCK: Final = 1 << 16
_TOKEN_TTL_S: Final = 3_600.0
_UPGRADE: Final = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: ZmFub3V0LWJlbmNobWFyaw==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_SWITCHED: Final = b"HTTP/1.1 101 "
_TEXT: Final = 0x81
_MASKED: Final = 0x80
_TWO_BYTES: Final = 126
_EIGHT_BYTES: Final = 127
_NO_MASK: Final = bytes(4)
"""A mask that changes nothing: the protocol wants one of clients."""
_ADMITTED: Final = b'"auth.ok"'
_MESSAGE: Final = b'{"type":"message.new"'

Chunk = tuple[int, bytes]
"""When it was read, in nanoseconds, and what."""
Delivery = tuple[int, int]
"""An event's number, and when its frame was whole."""


class ListenSettings(msgspec.Struct, frozen=True):
    """Who listens where, and to what."""

    ports: list[int]
    """Of the notification instances; clients are dealt to them in turn."""
    secret: str
    """That tokens are signed with."""
    audience: Audience
    feed: Feed


class Heard(msgspec.Struct, frozen=True):
    """Every delivery, found to be all that should have come, once and in order in each channel."""

    numbers: bytes
    """Of the events, four bytes each."""
    moments: bytes
    """When each came, in nanoseconds, eight bytes each."""

    def deliveries(self) -> Iterator[Delivery]:
        """One after another."""
        return zip(array("I", self.numbers), array("q", self.moments), strict=True)


def listen(settings: ListenSettings, stage: Stage) -> Heard:
    """Connect all clients, and take what comes until the cue and a second of silence.

    Raises:
        BenchError: a client was not admitted, or closed.
        WrongArrivalsError: an event was lost for a client, came twice or out of order.
    """
    clients = _connected(settings)
    kept: list[list[Chunk]] = [[] for _ in clients]
    gc.disable()
    stage.ready()
    _keep(clients, kept, stage)
    refused = set(msgspec.json.decode(stage.wait(), type=list[int]))
    deliveries = [list(deliveries_in(chunks)) for chunks in kept]
    check_clients(deliveries, settings.audience, settings.feed, refused)
    everything = [delivery for each in deliveries for delivery in each]
    numbers, moments = (array(kind, [each[at] for each in everything]) for at, kind in enumerate("Iq"))
    return Heard(numbers.tobytes(), moments.tobytes())


def check_clients(deliveries: list[list[Delivery]], audience: Audience, feed: Feed, refused: set[int]) -> None:
    """Compare what each client got in each of its channels with what was sent there.

    Args:
        deliveries: of each client, in the order in which they came.
        audience: who is in which channel.
        feed: what was sent.
        refused: the numbers of the events that the log did not take.

    Raises:
        WrongArrivalsError: it is something else.
    """
    sent: list[list[int]] = [[] for _ in audience.names]
    for number, channel in enumerate(feed.chosen, 1):
        if number not in refused:
            sent[channel].append(number)
    for client, channels in enumerate(audience.channels_of_clients()):
        arrived: dict[int, list[int]] = {channel: [] for channel in channels}
        for number, _ in deliveries[client]:
            arrived.setdefault(feed.chosen[number - 1], []).append(number)
        for channel, numbers in arrived.items():
            where = f"channel {audience.names[channel]} at client {client}"
            check_arrivals(sent[channel] if channel in channels else [], numbers, where)


def deliveries_in(chunks: Iterable[Chunk]) -> Iterator[Delivery]:
    """The events that a client read; a frame comes when its last byte does.

    Raises:
        BenchError: the server closed the connection.
    """
    rest = b""
    for moment, data in chunks:
        if not data:
            raise BenchError("a client lost its connection")
        buffer, at = rest + data, 0
        while (frame := _frame(buffer, at)) is not None:
            begin, end = frame
            if buffer[at] != _TEXT:
                raise BenchError(f"a client was closed: {buffer[begin:end]!r}")
            if buffer.startswith(_MESSAGE, begin):
                yield number_in(buffer[begin:end]), moment
            at = end
        rest = buffer[at:]


def _frame(buffer: bytes, at: int) -> tuple[int, int] | None:
    """Where the payload of the frame at a place begins and ends, if all of it is there."""
    begin = at + 2
    if len(buffer) < begin:
        return None
    length = buffer[at + 1]
    if length >= _TWO_BYTES:
        width = 2 if length == _TWO_BYTES else 8
        length, begin = int.from_bytes(buffer[begin : begin + width]), begin + width
    return (begin, begin + length) if len(buffer) >= begin + length else None


def _connected(settings: ListenSettings) -> list[socket.socket]:
    clients = [_opened(settings, client) for client in range(settings.audience.clients)]
    for client in clients:
        admitted = client.recv(_BLOCK)
        if _ADMITTED not in admitted:
            raise BenchError(f"a client was not admitted: {admitted!r}")
    return clients


def _opened(settings: ListenSettings, client: int) -> socket.socket:
    """A connection that has sent its first frame."""
    port = settings.ports[client % len(settings.ports)]
    connection = socket.create_connection(("127.0.0.1", port), timeout=_ANSWER_WITHIN_S)
    connection.sendall(_UPGRADE)
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        more = connection.recv(_BLOCK)
        if not more:
            break
        answer += more
    if not answer.startswith(_SWITCHED):
        raise BenchError(f"a client was refused: {answer!r}")
    token = sign(settings.secret, reader_name(client), _TOKEN_TTL_S)
    auth = {"type": "auth", "token": token, "device_id": f"dev_desktop_{new_ulid()}"}
    connection.sendall(_masked(msgspec.json.encode(auth)))
    return connection


def _masked(payload: bytes) -> bytes:
    if len(payload) < _TWO_BYTES:
        return bytes((_TEXT, _MASKED | len(payload))) + _NO_MASK + payload
    return struct.pack(">BBH", _TEXT, _MASKED | _TWO_BYTES, len(payload)) + _NO_MASK + payload


def _keep(clients: list[socket.socket], kept: list[list[Chunk]], stage: Stage) -> None:
    """Read until the cue was given and nothing came for a while."""
    keep = {client.fileno(): chunks.append for client, chunks in zip(clients, kept, strict=True)}
    with select.epoll() as poll:
        for fd in (stage.cue_fd, *keep):
            poll.register(fd, select.EPOLLIN)
        over = False
        read, clock, cue = os.read, time.monotonic_ns, stage.cue_fd
        while readable := poll.poll(_QUIET_S if over else None):
            for fd, _ in readable:
                if fd == cue:
                    over = True
                    poll.unregister(cue)
                    continue
                data = read(fd, _BLOCK)
                keep[fd]((clock(), data))
                if not data:
                    poll.unregister(fd)
