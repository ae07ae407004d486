"""Frames on real sockets: in order and whole, by either writer, at any speed of the reader."""

import asyncio
import random
import socket as sockets
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop
from websockets.asyncio.client import ClientConnection, connect

from fanout import Engine, InboundBatch, LaneProgress, text_frame
from fanout.ports.authenticator import Identity
from fanout.ports.socket import Socket, SocketClosed
from services.adapters.websocket import serving_websockets
from services.adapters.websocket.connection import WebSocketConnection
from services.notification.session import Session
from services.notification.write_queue import WriteQueue
from tests.support.clients import handshake
from tests.support.listening import listener
from tests.support.observing import until

Loop = asyncio.AbstractEventLoop

BUDGET = 8 * 1024 * 1024
WELCOME = text_frame(b'"welcome"')


class Harness:
    """A server whose sockets all read the channel `c`."""

    def __init__(self) -> None:
        self.engine = Engine(cache_users=1)
        self.refused: list[Session] = []
        self.write_queue = WriteQueue(self.engine, self.refused.append)
        self.sessions: list[Session] = []
        self.port = 0

    async def serve(self, socket: Socket) -> None:
        number = len(self.sessions)
        session = Session(socket, Identity(f"user-{number}", 1e12), "phone", "notif-1", budget=BUDGET)
        self.sessions.append(session)
        self.write_queue.add(session)
        self.engine.user_online(session.user_id, session.session_id, ["c"])
        self.write_queue.open(session, WELCOME)
        try:
            while True:
                await socket.receive()
        except SocketClosed:
            self.write_queue.remove(session)
            self.engine.drop_instance(session.session_id)

    async def come(self, **options: Any) -> ClientConnection:
        client = await connect(f"ws://127.0.0.1:{self.port}/ws", ping_interval=None, **options)
        assert await client.recv() == '"welcome"'
        return client

    def say(self, text: str) -> None:
        self.write_queue.deliver("c", text_frame(text.encode()))


def on_both_loops(test: Callable[[Harness], Awaitable[None]]) -> Callable[[Callable[[], Loop]], None]:
    """They differ in when they write, and when they say that they could not."""

    async def in_a_house() -> None:
        harness = Harness()
        unread = BUDGET + (1 << 20)
        async with serving_websockets(harness.serve, listener(), max_frame=1 << 20, max_unread=unread) as harness.port:
            await test(harness)

    def run(loop: Callable[[], Loop]) -> None:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(in_a_house())

    run.__name__ = test.__name__
    return pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])(
        run
    )


@on_both_loops
async def test_what_is_said_in_one_turn_arrives_in_order_and_never_by_the_owner(harness: Harness) -> None:
    clients = [await harness.come() for _ in range(5)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WebSocketConnection, "write", None)
        for number in range(300):
            harness.say(f"{number} {'x' * (number * 7 % 500)}")
            if number % 7 == 0:
                await asyncio.sleep(0)
        for client in clients:
            assert [int(str(await client.recv()).split()[0]) for _ in range(300)] == list(range(300))
    for client in clients:
        await client.close()


@on_both_loops
async def test_a_reader_that_stalls_gets_every_frame_whole_between_its_pongs(harness: Harness) -> None:
    chance = random.Random(3)  # noqa: S311 - repeatable
    small = sockets.socket()
    small.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    small.settimeout(0)
    await asyncio.get_running_loop().sock_connect(small, ("127.0.0.1", harness.port))
    slow, quick = await harness.come(sock=small, max_queue=2), await harness.come()
    pongs = [await slow.ping()]
    for number in range(1_500):
        harness.say(f"{number} {'y' * chance.randrange(4_000)}")
        if chance.random() < 0.2:
            pongs.append(await slow.ping())
        if chance.random() < 0.3:
            await asyncio.sleep(0)
        if chance.random() < 0.02:
            await asyncio.sleep(0.01)
    assert [int(str(await quick.recv()).split()[0]) for _ in range(1_500)] == list(range(1_500))
    assert harness.sessions[0].socket.buffered > 0
    assert [int(str(await slow.recv()).split()[0]) for _ in range(1_500)] == list(range(1_500))
    await asyncio.gather(*pongs)
    await until(lambda: harness.sessions[0].socket.buffered == 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WebSocketConnection, "write", None)  # what lagged is sent to directly again
        harness.say("1500 at last")
        assert await slow.recv() == "1500 at last"
    assert not harness.refused
    await asyncio.gather(slow.close(), quick.close())


@on_both_loops
async def test_nothing_follows_the_frame_that_closes(harness: Harness) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", harness.port)
    writer.write(handshake())
    await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(len(WELCOME)) == WELCOME
    harness.say("before")
    harness.write_queue.flush(harness.sessions[0])
    closing = asyncio.create_task(harness.sessions[0].socket.close(4400, "enough"))
    await asyncio.sleep(0)
    for _ in range(3):
        harness.say("after")
        await asyncio.sleep(0.01)
    writer.write(b"\x88\x82\0\0\0\0\x11\x30")
    assert await reader.read() == text_frame(b"before") + b"\x88\x08\x11\x30enough"
    writer.close()
    await closing


@on_both_loops
async def test_a_client_that_breaks_off_disturbs_nobody(harness: Harness) -> None:
    clients = [await harness.come() for _ in range(4)]
    for client in clients[::2]:
        client.transport.abort()
    for number in range(200):
        harness.say(str(number))
        await asyncio.sleep(0)
    newcomer = await harness.come()
    harness.say("200")
    for client in clients[1::2]:
        assert [int(str(await client.recv())) for _ in range(201)] == list(range(201))
        await client.close()
    assert await newcomer.recv() == "200"
    await newcomer.close()


@on_both_loops
async def test_a_reader_beyond_its_budget_is_refused_and_an_ephemeral_frame_is_dropped_before(harness: Harness) -> None:
    client = await harness.come(max_queue=1)
    session = harness.sessions[0]
    client.transport.pause_reading()
    frame = text_frame(b'"' + b"z" * 100_000 + b'"')
    while session.socket.buffered <= BUDGET // 2:
        harness.write_queue.deliver("c", frame)
        await asyncio.sleep(0)
    buffered = session.socket.buffered
    harness.write_queue.deliver("c", frame, ephemeral=True)
    await asyncio.sleep(0.01)
    assert session.socket.buffered == buffered
    assert not harness.refused
    for _ in range(BUDGET // 100_000):
        harness.write_queue.deliver("c", frame)
    assert set(harness.refused) == {session}
    assert session.socket.buffered <= BUDGET
    client.transport.abort()


@on_both_loops
async def test_a_socket_that_cannot_be_written_to_disturbs_nobody(harness: Harness) -> None:
    broken, other = await harness.come(), await harness.come()
    session = harness.sessions[0]
    harness.write_queue._hub.block(session.number, blocked=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WebSocketConnection, "write", lambda *_: 1 / 0)
        harness.say("1")
        assert await other.recv() == "1"
    assert session.ending is not None
    assert session.ending.code == 1011
    harness.say("2")
    assert await other.recv() == "2"
    await asyncio.gather(broken.close(), other.close())


@on_both_loops
async def test_of_a_batch_that_is_spoilt_what_can_be_read_arrives(harness: Harness) -> None:
    client = await harness.come()
    worker = Engine()
    worker.user_online("user-0", "notif-1", ["c"])
    worker.route("c", b'{"n":1}')
    [(_, batch)] = worker.drain(force=True)
    with pytest.raises(ValueError, match="cut"):
        await harness.write_queue.receive(InboundBatch(batch + batch[1:-1]), LaneProgress())
    assert await client.recv() == '{"n":1}'
    await client.close()


@on_both_loops
async def test_a_session_that_catches_up_is_written_to_as_it_reads_and_then_gets_what_came_meanwhile(
    harness: Harness,
) -> None:
    client = await harness.come(max_queue=1)
    session, queue = harness.sessions[0], harness.write_queue
    queue.catch_up(session)
    client.transport.pause_reading()
    block = text_frame(b'"' + b"z" * 1_000_000 + b'"')
    written = 0
    while not session.socket.buffered:  # the operating system takes some
        replaying = asyncio.create_task(queue.replay(session, block))
        written += 1
        await asyncio.sleep(0)
    queue.deliver("c", text_frame(b'"live, of no log"'))
    queue.deliver("c", text_frame(b'"live, seq 5"'), seq=5)
    queue.queue(session, text_frame(b'"own"'))
    queue.answer(session, text_frame(b'"answer"'))
    await asyncio.sleep(0.01)
    assert not replaying.done()
    assert session.socket.buffered <= len(block) + 100
    client.transport.resume_reading()
    for _ in range(written):
        assert len(await client.recv()) == 1_000_002
    assert await client.recv() == '"answer"'
    await replaying
    assert not queue.is_holding(session)
    queue.hold(session)
    queue.deliver("c", text_frame(b'"live, seq 6"'), seq=6)
    queue.deliver("c", text_frame(b'"live, seq 7"'), seq=7)
    assert queue.is_holding(session)
    assert queue.go_live(session, 6, text_frame(b'"complete"'))
    assert (session.is_live, session.given) == (True, 6)
    queue.deliver("c", text_frame(b'"live, seq 6"'), seq=6)
    queue.deliver("c", text_frame(b'"live, seq 8"'), seq=8)
    expected = ["complete", "live, of no log", "own", "live, seq 7", "live, seq 8"]
    assert [await client.recv() for _ in expected] == [f'"{text}"' for text in expected]
    await client.close()


@on_both_loops
async def test_what_finds_no_room_during_a_catch_up_is_said(harness: Harness) -> None:
    client = await harness.come(max_size=None)
    session, queue = harness.sessions[0], harness.write_queue
    half = text_frame(b"x" * (BUDGET // 2 - 10))
    for ephemeral, is_whole in ((True, True), (False, False)):
        queue.catch_up(session)
        queue.queue(session, half, ephemeral=False)
        queue.queue(session, text_frame(b"y" * 10), ephemeral=ephemeral)
        assert queue.go_live(session, 0) == is_whole
        assert len(await client.recv()) == BUDGET // 2 - 10
    await client.close()


@on_both_loops
async def test_nothing_is_replayed_to_a_session_that_ends(harness: Harness) -> None:
    client = await harness.come(max_queue=1)
    session, queue = harness.sessions[0], harness.write_queue
    queue.catch_up(session)
    client.transport.pause_reading()
    replaying = asyncio.create_task(queue.replay(session, text_frame(bytes(50_000_000))))
    await until(lambda: session.socket.buffered > 0)
    client.transport.abort()
    with pytest.raises(SocketClosed):
        await replaying
    await until(lambda: not queue._sessions)
    with pytest.raises(SocketClosed):
        await queue.replay(session, WELCOME)
    assert not queue.is_holding(session)
    assert queue.go_live(session, 5)
