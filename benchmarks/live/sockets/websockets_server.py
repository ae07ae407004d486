"""The straightforward server: the `websockets` library, its own `broadcast`, and the same uvloop."""

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

from benchmarks.live.sockets.channels import Audience, Event
from benchmarks.live.sockets.limits import RESERVED, raise_limit
from benchmarks.live.sockets.server import Send, ServerSettings, served
from benchmarks.live.websocket_clients import number_of
from benchmarks.processes import Leader
from fanout import text_frame

_BACKLOG: Final = 4096

Connections = dict[int, ServerConnection]
"""By the number that each client names in its request."""


class BroadcastSender:
    """Broadcasts an event to the connections that read its channel."""

    def __init__(self, connections: Connections, audience: Audience) -> None:
        self._connections = connections
        self._members = audience.members()
        self._readers: dict[str, list[ServerConnection]] = {}

    def prepare(self, events: Sequence[Event]) -> Send:
        """See `Sender`."""
        texts = [event.client_json().decode() for event in events]
        readers = [self._readers_of(event.channel) for event in events]

        async def send() -> None:
            for text, connections in zip(texts, readers, strict=True):
                broadcast(connections, text)

        return send

    def _readers_of(self, channel: str) -> list[ServerConnection]:
        if channel not in self._readers:
            self._readers[channel] = [self._connections[number] for number in self._members[channel]]
        return self._readers[channel]


class FloorSender:
    """Writes ready bytes, one system call for all that is due to a socket: the least that any server does."""

    def __init__(self, connections: Connections, audience: Audience) -> None:
        self._connections = connections
        self._members = audience.members()

    def prepare(self, events: Sequence[Event]) -> Send:
        """See `Sender`."""
        due: defaultdict[int, bytes] = defaultdict(bytes)
        for event in events:
            frame = text_frame(event.client_json())
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


def serve(settings: ServerSettings, leader: Leader) -> None:
    """Run the server, and serve the benchmark; the first message is its port."""
    raise_limit(settings.sockets + RESERVED)
    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # clients that end without a close frame are no news
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, leader))


async def _serve(settings: ServerSettings, leader: Leader) -> None:
    sends = isinstance(settings.audience, Audience)
    connections: Connections = {}

    async def handler(connection: ServerConnection) -> None:
        if sends and connection.request is not None:
            connections[number_of(connection.request.path)] = connection
        await connection.recv()

    server = await serve_websockets(
        handler, "127.0.0.1", 0, compression=None, ping_interval=None, server_header=None, backlog=_BACKLOG
    )
    async with server:
        leader.send(server.sockets[0].getsockname()[1])
        await leader.serve_async(
            served(
                settings,
                lambda audience: (BroadcastSender(connections, audience), FloorSender(connections, audience)),
            )
        )
