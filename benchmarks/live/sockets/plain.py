"""The straightforward way: a server of the `websockets` library, its own `broadcast`, and the same uvloop."""

import asyncio
import logging
import os
import socket
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast
from websockets.asyncio.server import serve as serve_websockets

from benchmarks.live.sockets.audience import Audience, Events, due_frame
from benchmarks.live.sockets.limits import RESERVED, raise_limit
from benchmarks.live.sockets.opening import number_of
from benchmarks.live.sockets.peers import Line
from benchmarks.live.sockets.serving import Send, ServerSettings, serve_requests
from fanout import text_frame

_BACKLOG: Final = 4096


class PlainWire:
    """Broadcasts an event to the connections that read its channel.

    Args:
        connections: by the number that each client names in its request.
        audience: who reads what.
    """

    def __init__(self, connections: dict[int, ServerConnection], audience: Audience) -> None:
        self._connections = connections
        self._members = audience.members()
        self._events = Events()
        self._readers: dict[str, list[ServerConnection]] = {}

    @property
    def number(self) -> int:
        """Of the next event."""
        return self._events.next

    def prepare(self, channels: Sequence[str]) -> Send:
        """See `Wire`."""
        texts = [due_frame(event).decode() for event in self._events.of(channels)]
        readers = [self._of(channel) for channel in channels]

        async def send() -> None:
            for text, connections in zip(texts, readers, strict=True):
                broadcast(connections, text)

        return send

    def _of(self, channel: str) -> list[ServerConnection]:
        if channel not in self._readers:
            self._readers[channel] = [self._connections[number] for number in self._members[channel]]
        return self._readers[channel]


class FloorWire:
    """Writes ready bytes to each socket, one system call for all that is due to it: what is left of any server.

    Args:
        connections: by the number that each client names in its request.
        audience: who reads what.
    """

    def __init__(self, connections: dict[int, ServerConnection], audience: Audience) -> None:
        self._connections = connections
        self._members = audience.members()
        self._events = Events()

    @property
    def number(self) -> int:
        """Of the next event."""
        return self._events.next

    def prepare(self, channels: Sequence[str]) -> Send:
        """See `Wire`."""
        due: defaultdict[int, bytes] = defaultdict(bytes)
        for event in self._events.of(channels):
            frame = text_frame(due_frame(event))
            for number in self._members[event.channel]:
                due[number] += frame
        writes = [(self._descriptor(number), frames) for number, frames in due.items()]

        async def send() -> None:
            for descriptor, frames in writes:
                os.write(descriptor, frames)

        return send

    def _descriptor(self, number: int) -> int:
        connected: socket.socket = self._connections[number].transport.get_extra_info("socket")
        return connected.fileno()


def serve(settings: ServerSettings, line: Line, signals: socket.socket | None = None) -> None:
    """Run such a server until the leading process is gone.

    Args:
        settings: whom it serves.
        line: to the leading process.
        signals: on which clients say that they have a round whole.
    """
    raise_limit(settings.sockets + RESERVED)
    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # clients that end without a farewell are no news
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, line, signals))


async def _serve(settings: ServerSettings, line: Line, signals: socket.socket | None) -> None:
    audience = settings.audience if isinstance(settings.audience, Audience) else None
    connections: dict[int, ServerConnection] = {}

    async def handler(connection: ServerConnection) -> None:
        if audience is not None and connection.request is not None:
            connections[number_of(connection.request.path)] = connection
        await connection.recv()

    server = await serve_websockets(
        handler, "127.0.0.1", 0, compression=None, ping_interval=None, server_header=None, backlog=_BACKLOG
    )
    async with server:
        wire = None if audience is None else PlainWire(connections, audience)
        floor = None if audience is None else FloorWire(connections, audience)
        await serve_requests(line, server.sockets[0].getsockname()[1], wire, settings, signals, floor=floor)
