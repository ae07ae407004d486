"""Stands before a NATS server and loses some of what it sends: messages to the inboxes of instances, at random.

    python -m tests.chaos.lossy_proxy SERVER_PORT --drop 0.01 --seed 1

It listens on a free loopback port and tells it, and then what it has passed on and dropped, as lines of JSON; it ends
when its input does. All else goes through as it is. When the server closes a connection, or cannot be reached, the
client's is closed too, as without a proxy; the next one is a new try.
"""

import argparse
import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.chaos.framing import NatsFrames
from tests.chaos.programs import TELL_EVERY_S, run_until_input_ends, tell

PREFIX = b"instance.events."
_READ_AT_ONCE = 1 << 18


class Losses:
    """Which messages are lost, and how many were.

    Args:
        share: of the messages whose subject begins with the prefix, how many are lost.
        chance: decides.
        prefix: of the subjects.
    """

    def __init__(self, share: float, chance: random.Random, prefix: bytes = PREFIX) -> None:
        self.passed = 0
        self.dropped = 0
        self._share = share
        self._chance = chance
        self._prefix = prefix

    def lose(self, subject: bytes) -> bool:
        """Whether this message is lost."""
        if not subject.startswith(self._prefix):
            return False
        lost = self._chance.random() < self._share
        self.dropped += lost
        self.passed += not lost
        return lost


class LossyProxy:
    """Connections of clients, each with one to the server."""

    def __init__(self, server_port: int, losses: Losses) -> None:
        self._server_port = server_port
        self._losses = losses
        self._serving: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Serve for the length of the context; yields the port."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            await self.cut()

    async def cut(self) -> None:
        """Close every connection that there is."""
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.close()
            return
        ways = {
            asyncio.ensure_future(self._up(reader, to_server)),
            asyncio.ensure_future(self._down(from_server, writer)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            to_server.close()
            writer.close()

    async def _up(self, reader: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_READ_AT_ONCE):
                to_server.write(data)
                await to_server.drain()

    async def _down(self, from_server: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = NatsFrames()
        with suppress(OSError):
            while data := await from_server.read(_READ_AT_ONCE):
                kept = [frame.raw for frame in frames.feed(data) if not self._losses.lose(frame.subject)]
                writer.write(b"".join(kept))
                await writer.drain()


async def run(server_port: int, losses: Losses) -> None:
    """Serve until cancelled, and print how many messages were lost."""
    async with LossyProxy(server_port, losses).listening() as port:
        tell(port=port)
        while True:
            tell(passed=losses.passed, dropped=losses.dropped)
            await asyncio.sleep(TELL_EVERY_S)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.lossy_proxy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("server_port", type=int, help="of the NATS server, on loopback")
    parser.add_argument("--drop", type=float, default=0.01, help="the share that is lost (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the chance that decides (default: %(default)s)")
    arguments = parser.parse_args()
    losses = Losses(arguments.drop, random.Random(arguments.seed))
    run_until_input_ends(lambda: run(arguments.server_port, losses))


if __name__ == "__main__":
    main()
