"""Whose the streams are: contract section 4, "One deployment", at the log's own edge."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from fanout.errors import ForeignStore
from fanout.streams import DEAD, MESSAGES, META, STREAMS
from services.adapters.embedded.deployment import EmbeddedDeployment
from services.adapters.nats import NatsBus, NatsLog, api
from services.adapters.nats.names import Names
from tests.support.log_worlds import World, tail
from tests.support.nats import HEARTBEAT_S
from tests.support.reading import append_messages, until
from tests.support.servers import NatsServer


@pytest.fixture
async def world(nats_server: NatsServer) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield World(nats_server, stack)


async def test_streams_of_another_deployment_are_refused_naming_both(world: World) -> None:
    await world.log()
    own = await world.deployment.existing_id()
    stranger = EmbeddedDeployment()
    other = await stranger.make_id()
    with pytest.raises(ForeignStore, match=rf"{own}.*{other}"):
        await NatsLog.open(await world.connect(), stranger)


async def test_a_membership_store_without_an_id_is_none_of_the_streams_that_carry_one(world: World) -> None:
    await world.log()
    with pytest.raises(ForeignStore, match="membership store is of none yet"):
        await NatsLog.open(await world.connect(), EmbeddedDeployment())


async def test_streams_without_an_id_are_adopted_while_empty_and_refused_with_events(world: World) -> None:
    log = await world.log()
    await append_messages(log, "general", [1])
    nc = await world.connect()
    for stream in (MESSAGES, META):
        config = (await api.stream_info(nc, stream))["config"]
        await api.call(nc, f"STREAM.UPDATE.{stream}", config | {"metadata": {}})
    await log.close()
    with pytest.raises(ForeignStore, match="--adopt"):
        await NatsLog.open(await world.connect(), EmbeddedDeployment("other"))
    adopted = await NatsLog.open(await world.connect(), world.deployment, adopt=True)
    assert await adopted.last_seq(MESSAGES) == 1
    await adopted.close()


async def test_a_prefix_keeps_two_deployments_apart(world: World) -> None:
    plain = await world.log()
    nc = await world.connect()
    mine = await NatsLog.open(nc, EmbeddedDeployment(), names=Names("x"), partitions=2, heartbeat=HEARTBEAT_S)
    assert await append_messages(mine, "general", range(3)) == [1, 2, 3]
    assert await append_messages(plain, "general", range(1)) == [1]
    reading = await tail(mine)
    await reading.has(0, 1, 2)
    assert {event.subject for event in reading.events} == {"messages.send.general"}
    heard: list[tuple[str, bytes]] = []
    await NatsBus(nc, Names("x")).subscribe("client.typing.*", lambda *notice: heard.append(notice))
    await NatsBus(nc).publish("client.typing.general", b"not mine")
    await NatsBus(nc, Names("x")).publish("client.typing.general", b"mine")
    await until(lambda: asyncio.sleep(0, bool(heard) or None))
    assert heard == [("client.typing.general", b"mine")]
    reading.stop()
    await mine.close()


async def test_a_stream_of_an_older_version_gets_the_dedup_window_that_it_lacks(world: World) -> None:
    log = await world.log()
    nc = await world.connect()
    windows = {DEAD: 120, MESSAGES: 600}
    for stream, seconds in windows.items():
        config = (await api.stream_info(nc, stream))["config"]
        await api.call(nc, f"STREAM.UPDATE.{stream}", config | {"duplicate_window": seconds * api.NANOSECONDS})
    await log.close()
    await (await NatsLog.open(await world.connect(), world.deployment)).close()
    found = {stream: (await api.stream_info(nc, stream))["config"]["duplicate_window"] for stream in windows}
    assert found == {DEAD: int(STREAMS[DEAD].dedup_s) * api.NANOSECONDS, MESSAGES: 600 * api.NANOSECONDS}
