import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from fanout.ports.socket import SocketClosed
from tests.simulation.hosts import HOST
from tests.simulation.sockets import ABNORMAL, KERNEL_BYTES, WAY_S, Wire
from tests.support.simulated import Stage


def frame(number: int, padding: int = 0) -> bytes:
    """A text frame as an instance writes it."""
    payload = orjson.dumps({"n": number, "x": "x" * padding})
    length = len(payload)
    head = bytes((0x81, length)) if length < 126 else bytes((0x81, 126)) + length.to_bytes(2, "big")
    return head + payload


class WireStage(Stage):
    """A stage with a wire between the client, a device, and the server, an instance."""

    def __init__(self, seed: int = 1) -> None:
        super().__init__(seed)
        self.frames: list[int] = []
        self.where: set[str] = set()
        self.closed: list[tuple[int, str]] = []
        self.wire = Wire(self.loop, self.draw, self.server, self.client, self._take, self._close)
        self.socket = self.wire.socket

    def _take(self, taken: dict[str, Any]) -> None:
        self.where.add(HOST.get().name)
        self.frames.append(taken["n"])

    def _close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))


def on_wire(work: Callable[[WireStage], Awaitable[None]], seed: int = 1) -> None:
    stage = WireStage(seed)

    async def live() -> None:
        await work(stage)

    stage.run(live)


@pytest.mark.parametrize("seed", range(3))
def test_frames_arrive_at_the_device_in_order(seed: int) -> None:
    async def work(stage: WireStage) -> None:
        for number in range(0, 40, 2):
            stage.socket.write(frame(number) + frame(number + 1, padding=300))
            await asyncio.sleep(WAY_S[0] / 5)
        assert stage.wire.buffered == 0
        await asyncio.sleep(1.0)
        assert stage.frames == list(range(40))
        assert stage.where == {"client"}

    on_wire(work, seed)


@pytest.mark.parametrize("seed", range(3))
def test_frames_arrive_at_the_instance_in_order(seed: int) -> None:
    async def work(stage: WireStage) -> None:
        for number in range(20):
            stage.wire.send("count", n=number)
        received = [orjson.loads(await stage.socket.receive()) for _ in range(20)]
        assert received == [{"type": "count", "n": number} for number in range(20)]
        assert stage.loop.time() >= WAY_S[0]

    on_wire(work, seed)


def test_what_a_device_does_not_read_is_buffered_beyond_what_the_operating_system_takes() -> None:
    async def work(stage: WireStage) -> None:
        stage.wire.read(reading=False)
        written = [frame(number, padding=1_000) for number in range(8)]
        for number, frames in enumerate(written):
            stage.socket.write(frames)
            assert stage.socket.buffered == max(0, sum(map(len, written[: number + 1])) - KERNEL_BYTES)
        assert stage.socket.buffered > 0
        await asyncio.sleep(1.0)
        assert stage.frames == []
        stage.wire.read(reading=True)
        assert stage.socket.buffered == 0
        stage.socket.write(frame(8))
        await asyncio.sleep(1.0)
        assert stage.frames == list(range(9))

    on_wire(work)


def test_nothing_passes_over_a_wire_that_is_silent_and_neither_end_is_told() -> None:
    async def work(stage: WireStage) -> None:
        stage.socket.write(frame(1))
        stage.wire.go_silent()
        stage.socket.write(frame(2, padding=8_000))
        stage.wire.send("heartbeat")
        stage.wire.hang_up()
        receiving = stage.server.start(stage.socket.receive(), "receiving")
        await asyncio.sleep(5.0)
        assert not receiving.done()
        assert stage.frames == []
        assert stage.closed == []
        assert stage.socket.buffered > 0
        await stage.socket.close(1001, "nothing was heard")
        await asyncio.sleep(5.0)
        assert stage.closed == []
        with pytest.raises(SocketClosed):
            await receiving

    on_wire(work)


def test_a_device_is_told_why_the_instance_has_closed_the_connection_after_the_frames_before() -> None:
    async def work(stage: WireStage) -> None:
        receiving = stage.server.start(stage.socket.receive(), "receiving")
        await asyncio.sleep(0)
        stage.socket.write(frame(1))
        await stage.socket.close(1001, "the server stops")
        await stage.socket.close(1011, "again")
        stage.socket.write(frame(2))
        with pytest.raises(SocketClosed):
            await receiving
        await asyncio.sleep(1.0)
        assert stage.frames == [1]
        assert stage.closed == [(1001, "the server stops")]

    on_wire(work)


def test_an_instance_hears_that_a_device_has_closed_the_connection_after_what_it_sent_before() -> None:
    async def work(stage: WireStage) -> None:
        stage.wire.send("typing.start")
        stage.wire.hang_up()
        stage.socket.write(frame(1))
        assert orjson.loads(await stage.socket.receive()) == {"type": "typing.start"}
        for _ in range(2):
            with pytest.raises(SocketClosed):
                await stage.socket.receive()
        await asyncio.sleep(1.0)
        assert stage.frames == []
        assert stage.closed == []

    on_wire(work)


def test_a_device_hears_in_a_while_that_the_process_of_its_instance_has_gone() -> None:
    async def work(stage: WireStage) -> None:
        stage.wire.break_off()
        assert stage.closed == []
        await asyncio.sleep(1.0)
        assert [code for code, _ in stage.closed] == [ABNORMAL]

    on_wire(work)


def test_a_wire_has_no_descriptor() -> None:
    assert WireStage().socket.acquire_descriptor(lambda _: None) is None
