import asyncio
from pathlib import Path

from fanout.streams import MESSAGES
from tests.chaos.publisher import publishing
from tests.chaos.scenario import Layout, Scenario, blocks
from tests.support.nats import connected, open_log
from tests.support.servers import NatsServer

SMALL = Scenario(messages=4_000, channels=10, clients=20, channels_each=5)


async def test_each_event_is_accepted_once_while_the_server_restarts(nats_server: NatsServer, tmp_path: Path) -> None:
    async with connected(nats_server.url) as nc:
        log = await open_log(nc, 3)
        async with publishing(nats_server.port, tmp_path / "accepted") as publisher:
            restarting = None
            for number, block in enumerate(blocks(SMALL, Layout.of(SMALL), 100)):
                if number % 10 == 5:
                    restarting = asyncio.create_task(asyncio.to_thread(nats_server.restart))
                await publisher.have_accepted(block)
            assert restarting is not None
            await restarting
        while not nc.is_connected:  # noqa: ASYNC110 - the client's own task reconnects
            await asyncio.sleep(0.01)
        lines = [line.split() for line in (tmp_path / "accepted").read_text().splitlines()]
        assert sorted(int(seq) for seq, _, _ in lines) == list(range(1, SMALL.messages + 1))
        assert len({message_id for _, _, message_id in lines}) == SMALL.messages
        assert await log.last_seq(MESSAGES) == SMALL.messages
        for seq, channel, message_id in lines[::500]:
            stored = await log.get(MESSAGES, int(seq))
            assert stored is not None
            assert stored.subject == f"messages.send.{channel}"
            assert message_id.encode() in stored.payload


def test_a_layout_has_every_client_s_channels_and_second_devices() -> None:
    layout = Layout.of(SMALL)
    assert len(layout.users) == SMALL.clients
    assert len(layout.channels_of) == SMALL.clients - 2
    assert layout.users[9] == layout.users[8]
    assert {len(channels) for channels in layout.channels_of.values()} == {SMALL.channels_each}
    assert sum(layout.readers.values()) == SMALL.clients * SMALL.channels_each
    members = layout.members()
    assert all(user in members[channel] for user, channels in layout.channels_of.items() for channel in channels)


def test_the_same_seed_says_the_same_in_the_same_channels() -> None:
    layout = Layout.of(SMALL)
    once, again = ([event.channel for block in blocks(SMALL, layout, 100) for event in block] for _ in range(2))
    assert once == again
