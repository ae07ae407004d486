import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fanout.errors import Unavailable
from services.adapters.embedded.bus import EmbeddedBus
from tests.simulation.bus_server import LinkedBus
from tests.simulation.hosts import HOST
from tests.support.simulated import Stage

Got = list[tuple[str, bytes, str]]


class BusStage(Stage):
    """A stage with a bus at the server, and a publisher and a subscriber."""

    def __init__(self, seed: int = 1) -> None:
        super().__init__(seed)
        self.reader = self.host("reader")
        self.readers_link = self.link_of(self.reader)
        server = EmbeddedBus()
        self.publisher, self.subscriber = LinkedBus(self.link, server), LinkedBus(self.readers_link, server)
        self.got: Got = []

    async def subscribe(self) -> Any:
        return await self.reader.start(self.subscriber.subscribe("news.*", self._take), "subscribing")

    async def publish(self, number: int) -> None:
        await self.client.start(self.publisher.publish("news.room1", b"%d" % number), "publishing")
        await asyncio.sleep(0.1)

    def numbers(self) -> list[int]:
        return [int(payload) for _, payload, _ in self.got]

    def _take(self, subject: str, payload: bytes) -> None:
        self.got.append((subject, payload, HOST.get().name))


def on_bus(work: Callable[[BusStage], Awaitable[None]]) -> None:
    stage = BusStage()

    async def live() -> None:
        await work(stage)

    stage.run(live)


def test_what_is_published_arrives_at_the_subscriber() -> None:
    async def work(stage: BusStage) -> None:
        await stage.subscribe()
        await stage.publish(1)
        assert stage.got == [("news.room1", b"1", "reader")]
        await stage.client.start(stage.publisher.publish_many([("news.a", b"2"), ("other", b"3")]), "publishing")
        await asyncio.sleep(0.1)
        assert stage.numbers() == [1, 2]
        await stage.client.start(stage.publisher.ping(), "ping")
        assert stage.publisher.max_payload == 1 << 20

    on_bus(work)


def test_what_the_subscriber_is_sent_without_a_connection_is_lost_and_its_subscription_is_not() -> None:
    async def work(stage: BusStage) -> None:
        await stage.subscribe()
        await stage.publish(1)
        stage.readers_link.cut()
        await stage.publish(2)
        stage.readers_link.repair()
        await stage.publish(3)
        assert stage.numbers() == [1, 3]

    on_bus(work)


def test_nothing_is_published_without_a_connection() -> None:
    async def work(stage: BusStage) -> None:
        await stage.subscribe()
        stage.link.cut()
        with pytest.raises(Unavailable):
            await stage.publish(1)
        with pytest.raises(Unavailable):
            await stage.client.start(stage.publisher.publish_many([("news.a", b"2")]), "publishing")
        stage.link.repair()
        await asyncio.sleep(1.0)
        assert stage.got == []

    on_bus(work)


def test_a_process_is_told_how_long_its_connection_was_away_once_it_is_back() -> None:
    async def work(stage: BusStage) -> None:
        gaps, others = list[float](), list[float]()
        stage.subscriber.on_gap(gaps.append)
        stage.publisher.on_gap(others.append)
        stage.readers_link.stall()
        await asyncio.sleep(3.0)
        stage.readers_link.cut()
        stage.readers_link.flow()
        await asyncio.sleep(2.0)
        assert gaps == []
        stage.readers_link.repair()
        await asyncio.sleep(1.0)
        assert gaps == [pytest.approx(5.0, abs=0.1)]
        assert others == []

    on_bus(work)


def test_nobody_subscribes_without_a_connection() -> None:
    async def work(stage: BusStage) -> None:
        stage.readers_link.cut()
        with pytest.raises(Unavailable):
            await stage.subscribe()

    on_bus(work)


def test_what_is_held_by_a_stall_arrives_in_order() -> None:
    async def work(stage: BusStage) -> None:
        await stage.subscribe()
        stage.readers_link.stall()
        for number in range(5):
            await stage.publish(number)
        assert stage.got == []
        stage.readers_link.flow()
        await asyncio.sleep(0.1)
        assert stage.numbers() == [0, 1, 2, 3, 4]

    on_bus(work)


def test_a_subscription_that_was_closed_gets_nothing_not_even_what_is_under_way() -> None:
    async def work(stage: BusStage) -> None:
        subscription = await stage.subscribe()
        stage.readers_link.stall()
        await stage.publish(1)
        await stage.reader.start(subscription.close(), "closing")
        stage.readers_link.flow()
        await stage.publish(2)
        assert stage.got == []

    on_bus(work)


def test_a_subscriber_that_was_killed_gets_nothing() -> None:
    async def work(stage: BusStage) -> None:
        await stage.subscribe()
        stage.loop.kill(stage.reader)
        await stage.publish(1)
        assert stage.got == []

    on_bus(work)
