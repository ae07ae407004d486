"""A connection to NATS that the event loop has closed is a lost one at once, also before the client library knows it.

The services run on uvloop, where a write to such a connection is a `RuntimeError`: it would end the process, or the
task that connects again.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fanout import subjects
from fanout.errors import Unavailable
from services.adapters.nats import NatsBus, NatsConnection
from tests.support.loops import LOOPS, TURNS, Loop, run_on
from tests.support.nats import connected, open_log
from tests.support.reading import soon
from tests.support.servers import NatsServer


async def _lose(nc: NatsConnection, turns: int) -> None:
    """Lose the connection, and let so many turns of the loop pass."""
    nc._abort()
    for _ in range(turns):
        await asyncio.sleep(0)


@asynccontextmanager
async def _again(nc: NatsConnection) -> AsyncIterator[None]:
    """A context that ends when there is a connection again."""
    again = asyncio.Event()
    forget = nc.on_reconnect(again.set)
    yield
    await soon(again.wait())
    forget()


@LOOPS
def test_what_is_asked_of_nats_while_the_loss_is_not_noticed_is_unavailable(
    loop: Loop, nats_server: NatsServer
) -> None:
    async def main() -> None:
        async with connected(nats_server.url) as nc:
            log, bus = await open_log(nc, 1), NatsBus(nc)
            attempts: list[Callable[[], Awaitable[object]]] = [
                lambda: log.append(subjects.message("general"), b"lost", msg_id="lost"),
                lambda: bus.publish("a.b", b"lost"),
                lambda: bus.publish_many([("a.b", b"lost")]),
                lambda: bus.subscribe("a.b", lambda _, __: None),
                bus.ping,
                log.ping,
            ]
            for attempt in attempts:
                for turns in range(TURNS):
                    async with _again(nc):
                        await _lose(nc, turns)
                        with pytest.raises(Unavailable):
                            await soon(attempt())
            await soon(bus.ping())

    run_on(loop, main())


@LOOPS
def test_nats_is_reconnected_though_the_new_connection_is_lost_at_once(
    loop: Loop, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[int] = []
    greet = NatsConnection._process_info

    async def lose_after_the_greeting(self: NatsConnection, info: dict[str, Any], **more: Any) -> None:
        await greet(self, info, **more)
        if len(lost) < TURNS:
            lost.append(len(lost))
            await _lose(self, lost[-1])

    async def main() -> None:
        async with connected(nats_server.url) as nc:
            monkeypatch.setattr(NatsConnection, "_process_info", lose_after_the_greeting)
            async with _again(nc):
                nc._abort()
            await soon(nc.ping())
            assert len(lost) == TURNS

    run_on(loop, main())


@LOOPS
@pytest.mark.parametrize("turns", range(TURNS))
def test_a_lost_connection_to_nats_closes(loop: Loop, nats_server: NatsServer, turns: int) -> None:
    async def main() -> None:
        async with connected(nats_server.url) as nc:
            subscription = await NatsBus(nc).subscribe("a.b", lambda _, __: None)
            await _lose(nc, turns)
            await soon(subscription.close())
            await soon(nc.close())

    run_on(loop, main())
