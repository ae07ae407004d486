"""The writer of a connection that the event loop has closed is refused."""

import asyncio

import pytest

from services.runtime.lost_connections import LostConnectionError, live
from tests.support.loops import LOOPS, Loop, run_on


@LOOPS
def test_a_writer_is_live_until_the_loop_closes_its_connection(loop: Loop) -> None:
    async def main() -> None:
        async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0) as server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            assert live(writer) is writer
            writer.transport.abort()
            with pytest.raises(LostConnectionError):
                live(writer)

    run_on(loop, main())


def test_a_connection_that_never_was_is_lost() -> None:
    with pytest.raises(LostConnectionError):
        live(None)


@pytest.mark.parametrize("kind", [OSError, RuntimeError])
def test_client_libraries_know_the_error(kind: type[Exception]) -> None:
    assert issubclass(LostConnectionError, kind)
